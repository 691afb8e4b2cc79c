import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrec.catalog import build_catalog, live_items_without, read_catalog, write_catalog
from lcrec.errors import CatalogError


def ids(count):
    return [f"i{row}" for row in range(count)]


@st.composite
def catalogs(draw):
    sizes = tuple(draw(st.lists(st.integers(1, 5), min_size=2, max_size=6)))
    items = draw(st.integers(1, 40))
    codes = np.array([[draw(st.integers(0, size - 1)) for size in sizes] for _ in range(items)], dtype=np.int32)
    return codes, sizes, build_catalog(codes, sizes, ids(items))


def walk(catalog, node=0, prefix=()):
    """Every item with the codes met on the way down, by nothing but child_start, node_code and item_order."""
    if node >= catalog.nodes:
        return [(prefix, int(catalog.item_order[node - catalog.nodes]))]
    found = []
    for child in range(catalog.child_start[node], catalog.child_start[node + 1]):
        step = () if child >= catalog.nodes else (int(catalog.node_code[child]),)
        found += walk(catalog, child, prefix + step)
    return found


@settings(max_examples=60, deadline=None)
@given(catalogs())
def test_walking_down_meets_every_item_once_under_its_codes(case):
    codes, sizes, catalog = case
    offsets = np.cumsum((0, *sizes[:-1]))
    expected = sorted((tuple((c + offsets).tolist()), row) for row, c in enumerate(codes))
    assert sorted(walk(catalog)) == expected


@settings(max_examples=60, deadline=None)
@given(catalogs())
def test_live_items_counts_the_items_below_a_node(case):
    _, _, catalog = case
    for node in range(catalog.nodes):
        assert catalog.live_items[node] == len(walk(catalog, node))


@settings(max_examples=60, deadline=None)
@given(catalogs())
def test_level_width_is_the_widest_branching_at_each_depth(case):
    codes, sizes, catalog = case
    for depth in range(len(sizes) + 1):
        prefixes = [tuple(c[:depth]) for c in codes]
        longer = {
            (p, tuple(c[: depth + 1]) if depth < len(sizes) else row)
            for row, (p, c) in enumerate(zip(prefixes, codes, strict=True))
        }
        widest = max(sum(1 for q, _ in longer if q == p) for p in set(prefixes))
        assert catalog.level_width[depth] == widest


@settings(max_examples=30, deadline=None)
@given(catalogs())
def test_file_round_trip(tmp_path_factory, case):
    _, _, catalog = case
    path = tmp_path_factory.mktemp("catalog") / "catalog.bin"
    write_catalog(catalog, path)
    again = read_catalog(path)
    assert again.code_sizes == catalog.code_sizes
    assert again.ids_sha256 == catalog.ids_sha256
    for name, array in catalog.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


def test_items_that_share_a_code_stand_in_row_order():
    catalog = build_catalog(np.array([[1, 1], [0, 0], [1, 1], [1, 1]]), (2, 2), ids(4))
    assert catalog.item_order.tolist() == [1, 0, 2, 3]
    assert catalog.level_width.tolist() == [2, 1, 3]


def test_blocking_kills_every_node_that_leads_only_to_blocked_items(make_catalog):
    catalog = make_catalog()
    blocked = catalog.block([3, 7, 7])
    assert blocked.live_items[0] == catalog.items - 2
    assert blocked.live_items[catalog.item_path[3, -1]] == 0
    again = blocked.block([3])  # blocked before: not counted twice
    np.testing.assert_array_equal(again.live_items, blocked.live_items)


def test_blocking_an_unknown_row_is_refused(make_catalog):
    with pytest.raises(CatalogError, match="outside"):
        live_items_without(make_catalog(), np.array([60]))


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        (np.zeros((0, 3), int), (4, 4, 4), "at least one item"),
        (np.zeros((2, 3), int), (4, 4), "code sizes"),
        (np.zeros((2, 7), int), (4,) * 7, "2 to 6"),
        (np.array([[0, 0, 0], [0, 4, 0]]), (4, 4, 4), "item 'i1' has code 4 at level 1"),
    ],
)
def test_codes_that_make_no_catalogue_are_refused(codes, sizes, message):
    with pytest.raises(CatalogError, match=message):
        build_catalog(codes, sizes, ids(len(codes)))


def test_ids_of_another_table_are_refused():
    with pytest.raises(CatalogError, match="3 rows"):
        build_catalog(np.zeros((2, 3), int), (4, 4, 4), ids(3))


@pytest.fixture
def catalog_file(make_catalog, tmp_path):
    path = tmp_path / "catalog.bin"
    write_catalog(make_catalog(), path)
    return path


@pytest.mark.parametrize("keep", [0, 7, 40, 100, -4])
def test_a_truncated_file_is_refused(catalog_file, keep):
    catalog_file.write_bytes(catalog_file.read_bytes()[:keep])
    with pytest.raises(CatalogError, match=r"not a catalogue|damaged"):
        read_catalog(catalog_file)


def test_a_newer_format_is_refused(catalog_file):
    data = bytearray(catalog_file.read_bytes())
    data[8] = 2
    catalog_file.write_bytes(data)
    with pytest.raises(CatalogError, match="format 2"):
        read_catalog(catalog_file)


def test_arrays_that_lead_out_of_the_trie_are_refused(catalog_file):
    data = bytearray(catalog_file.read_bytes())
    data[76 + 3] = 0x7F  # the high byte of child_start[0], behind 64 bytes of header and three code sizes
    catalog_file.write_bytes(data)
    with pytest.raises(CatalogError, match="do not form a trie"):
        read_catalog(catalog_file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CatalogError, match=r"nowhere\.bin"):
        read_catalog(tmp_path / "nowhere.bin")
