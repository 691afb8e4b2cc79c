"""Every way in which the arrays of a catalogue can contradict one another is refused, by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrec.catalog import build_catalog, read_catalog, write_catalog
from lcrec.errors import CatalogError
from lcrec.trie_check import check_trie

CODES = np.array([[0, 0, 1], [0, 1, 2], [0, 1, 2], [1, 0, 0], [1, 0, 1], [1, 2, 0]])
"""Nodes by depth: 0 | 1 2 | 3 4 5 6 | 7 8 9 10 11 and items 12 … 17; items 1 and 2 share a code."""


@pytest.fixture
def small():
    return build_catalog(CODES, (2, 3, 3), [f"i{row}" for row in range(len(CODES))])


def test_what_the_builder_makes_is_a_trie(small, make_catalog):
    check_trie(small)
    check_trie(small.block([1, 5]))
    check_trie(make_catalog(items=200).block(range(0, 200, 3)))


def test_showing_only_some_items_blocks_the_others(make_catalog):
    catalog = make_catalog()
    mask = np.arange(catalog.items) % 3 > 0
    some = catalog.show_only(mask)
    check_trie(some)
    np.testing.assert_array_equal(some.shown, mask)
    np.testing.assert_array_equal(some.live_items, catalog.block(np.flatnonzero(~mask)).live_items)


@pytest.mark.parametrize(
    ("array", "place", "value", "message"),
    [
        ("child_start", 0, 2, "child_start goes from 2"),
        ("child_start", -1, 19, "child_start goes from 1 to 19, not from 1 to 18"),
        ("child_start", 3, 9, r"child_start\[3\] is 9, which leaves a node without children"),
        ("child_start", 2, 0x7FFFFFFF, "leaves a node without children"),
        ("child_start", 2, -1, "leaves a node without children"),
        ("child_start", 1, 4, r"begin at nodes \[0, 1, 4"),
        ("child_start", 9, 14, r"item_path\[2\] is 8"),
        ("node_code", 0, 1, r"node_code\[0\] is 1"),
        ("node_code", 3, 1, r"node_code\[3\] is 1, which is no code of the node's level"),
        ("node_code", 11, 8, r"node_code\[11\] is 8, which is no code"),
        ("node_code", 4, -1, "is no code of the node's level"),
        ("node_code", 4, 2, r"node_code\[4\] is 2, which does not lie above the code of the sibling"),
        ("item_order", 0, 6, r"item_order\[0\] is 6, which is no item row"),
        ("item_order", 0, -1, "is no item row"),
        ("item_order", 0, 3, r"is 3, which names an item that stands elsewhere too"),
        ("item_path", (1, 3), 14, r"item_path\[1\] is 14, which is not the node on the way"),
        ("item_path", (4, 2), 9, r"item_path\[4\] is 9"),
        ("item_path", (4, 0), 1, r"item_path\[4\] is 1"),
        ("item_path", (0, 1), 0x7FFFFFFF, r"item_path\[0\]"),
        ("item_path", (0, 1), -3, r"item_path\[0\]"),
        ("live_items", 12, 2, r"live_items\[12\] is 2, which counts one item"),
        ("live_items", 12, -1, "counts one item"),
        ("live_items", 12, 0, r"live_items\[7\] is 1; 0 is the sum"),
        ("live_items", 0, 5, r"live_items\[0\] is 5; 6 is the sum"),
        ("live_items", 4, 3, "is the sum over the node's children"),
        ("live_items", 4, 0x7FFFFFFF, "is the sum over the node's children"),
        ("level_width", 1, 3, r"level_width\[1\] is 3; 2 is the most children"),
        ("level_width", 3, 1, r"level_width\[3\] is 1; 2 is the most children"),
        ("level_width", 0, 0, r"level_width\[0\] is 0; 2 is the most"),
    ],
)
def test_one_wrong_number_is_refused(small, tmp_path, array, place, value, message):
    small.arrays()[array][place] = value
    write_catalog(small, tmp_path / "catalog.bin")
    with pytest.raises(CatalogError, match=message) as caught:
        read_catalog(tmp_path / "catalog.bin")
    assert "damaged" in str(caught.value)


def test_items_of_one_code_out_of_row_order_are_refused(small):
    swap(small, 1, 2)
    with pytest.raises(CatalogError, match="not in row order among the items of one code"):
        check_trie(small)


def test_two_items_that_changed_places_are_refused(small):
    swap(small, 0, 3)
    with pytest.raises(CatalogError, match="item_path"):
        check_trie(small)


def swap(catalog, first, second):
    """Exchange two positions, with the items' own nodes: only the nodes above can tell."""
    order, path = catalog.item_order, catalog.item_path
    rows = order[[first, second]]
    order[[first, second]] = rows[::-1]
    path[rows, -1] = path[rows[::-1], -1]


def test_a_catalogue_without_a_level_in_between_is_refused(small, tmp_path):
    path = tmp_path / "catalog.bin"
    write_catalog(small, path)
    data = bytearray(path.read_bytes())
    data[20:24] = (0).to_bytes(4, "little")  # no nodes at all
    path.write_bytes(data[: 56 + 4 * (3 + 1 + 0 + 6 + 24 + 6 + 4)])
    with pytest.raises(CatalogError, match="do not form a trie"):
        read_catalog(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_single_change_of_any_number_goes_unnoticed(data):
    catalog = build_catalog(CODES, (2, 3, 3), list("abcdef")).block([5])
    name = data.draw(st.sampled_from(sorted(catalog.arrays())))
    array = catalog.arrays()[name]
    place = data.draw(st.integers(0, array.size - 1))
    value = data.draw(st.integers(-3, 20) | st.sampled_from([-(2**31), 2**31 - 1]))
    if array.flat[place] == value:
        return
    array.flat[place] = value
    try:
        check_trie(catalog)
    except CatalogError:
        return
    # Only another catalogue may pass: a code that no sibling has and that stands in order is a fact, not damage.
    assert name == "node_code"
