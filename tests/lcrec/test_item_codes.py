import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from research_data import research_data

from lcrec.code_collisions import resolve_collisions
from lcrec.dataset import Dataset, Item, ItemCodes
from lcrec.embedded import embedded_movielens
from lcrec.errors import ItemCodesError
from lcrec.importers.lcrec_format import import_lcrec
from lcrec.importers.movielens import import_movielens
from lcrec.item_codes import build_item_codes, default_width
from lcrec.item_vectors import VectorConfig, content_vectors, item_vectors, use_vectors
from lcrec.residual_kmeans import Quantization, quantize


def dataset_of(titles, sequences):
    items = tuple(Item(str(row), title) for row, title in enumerate(titles))
    arrays = tuple(np.array(sequence, dtype=np.int32) for sequence in sequences)
    return Dataset("toy", items, tuple(f"u{user}" for user in range(len(arrays))), arrays)


def two_worlds(users=40):
    """Twenty items in two halves that nobody mixes, with the words of their half in the title."""
    random = np.random.default_rng(0)
    titles = [f"{'horror night' if row < 10 else 'garden flowers'} part {row}" for row in range(20)]
    sequences = [random.permutation(10)[:7] + 10 * (user % 2) for user in range(users)]
    return dataset_of(titles, sequences)


def exact(codes, centers):
    """A quantisation whose vectors are exactly the sums of their centres."""
    codes = np.array(codes, dtype=np.int32)
    centers = tuple(np.array(level, dtype=np.float32).reshape(len(level), -1) for level in centers)
    vectors = sum(level[codes[:, depth]] for depth, level in enumerate(centers))
    return Quantization(codes, centers, vectors)


@pytest.fixture(scope="module")
def movielens():
    return import_movielens(embedded_movielens()).dataset


@pytest.fixture(scope="module")
def movielens_codes(movielens):
    return build_item_codes(movielens)


@pytest.mark.parametrize(
    ("items", "width"), [(1, 2), (20, 8), (64, 8), (65, 16), (2078, 64), (16859, 256), (10**6, 256)]
)
def test_default_width_is_the_power_of_two_from_the_root_of_the_items(items, width):
    assert default_width(items) == width


def test_movielens_films_all_get_a_code_of_their_own(movielens_codes):
    assert movielens_codes.codes.sizes == (64, 64, 64, 64)
    assert movielens_codes.codes.collisions() == 0
    assert movielens_codes.statistics["collisions_before"] > 0


def test_movielens_codes_are_used_evenly(movielens_codes):
    for level in movielens_codes.statistics["levels"]:
        assert level["used"] == 64
        assert level["perplexity"] > 16
    assert movielens_codes.statistics["levels"][0]["largest"] < 0.05


def test_movielens_films_of_a_series_share_their_first_code_more_often_than_strangers(movielens, movielens_codes):
    first = movielens_codes.codes.codes[:, 0]
    series = first[[row for row, item in enumerate(movielens.items) if item.title.startswith("Star Trek")]]
    assert len(series) > 5
    assert (series[:, None] == series).mean() > 5 * (first[:, None] == first).mean()


def test_every_level_explains_more(movielens_codes):
    unexplained = movielens_codes.statistics["unexplained"]
    assert all(after < before for before, after in zip([1.0, *unexplained], unexplained, strict=False))


def test_same_seed_gives_the_same_codes():
    first, again = (build_item_codes(two_worlds(), levels=3, width=4, seed=5).codes.codes for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_items_of_two_worlds_never_share_their_first_code():
    first = build_item_codes(two_worlds(), levels=2, width=4).codes.codes[:, 0]
    assert not set(first[:10]) & set(first[10:])


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 6])
def test_any_depth_can_be_built(levels):
    result = build_item_codes(two_worlds(), levels=levels, width=8)
    assert result.codes.levels == levels
    assert result.codes.collisions() == 0
    assert result.method["levels"] == levels


def test_held_out_interactions_do_not_touch_the_codes():
    dataset = two_worlds()
    random = np.random.default_rng(1)
    swapped = [np.concatenate([one[:-2], random.integers(0, 20, 2)]) for one in dataset.sequences]
    other = dataset_of([item.title for item in dataset.items], swapped)
    assert any((a != b).any() for a, b in zip(dataset.sequences, other.sequences, strict=True))
    np.testing.assert_array_equal(
        build_item_codes(dataset, width=4).codes.codes, build_item_codes(other, width=4).codes.codes
    )


def test_training_interactions_do_touch_the_vectors():
    dataset = two_worlds()
    other = dataset_of([item.title for item in dataset.items], [one[::-1] for one in dataset.sequences])
    assert not np.allclose(item_vectors(dataset, VectorConfig(), 0), item_vectors(other, VectorConfig(), 0))


def test_vectors_have_unit_length():
    lengths = np.linalg.norm(item_vectors(two_worlds(), VectorConfig(), 0), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_content_of_like_titles_is_alike():
    vectors = content_vectors(two_worlds(), 8, 0)
    likeness = vectors @ vectors.T
    assert likeness[0, 1:10].min() > likeness[0, 10:].max()


def test_use_vectors_pair_items_that_stand_near_each_other():
    train = [np.array([0, 1, 2], np.int32), np.array([3, 4, 5], np.int32)] * 5
    vectors = use_vectors(train, 6, VectorConfig(), 0)
    likeness = vectors @ vectors.T
    assert likeness[0, 2] > abs(likeness[0, 3]) + 0.3


@pytest.mark.parametrize(
    ("titles", "sequences"),
    [
        ([""] * 6, [[0, 1, 2, 3, 4], [1, 2, 0, 5, 3], [0, 1, 2, 5, 4]]),  # no titles
        (["red car", "red bus", "blue car", "blue bus"], [[0, 1, 2]]),  # one item to train on: nothing used together
        (["only one"], [[0, 0, 0]]),
        (["a", "b"], []),  # nobody
        (["same words"] * 5, [[0, 1, 2, 3]]),
        ([f"w{row}" for row in range(5)], [[0, 1, 2, 3, 4]]),  # no word twice
    ],
)
def test_poor_data_still_gets_codes(titles, sequences):
    result = build_item_codes(dataset_of(titles, sequences), levels=3, width=4)
    assert result.codes.items == len(titles)
    assert result.codes.collisions() == 0


def test_items_beyond_the_number_of_codes_share_and_are_counted():
    result = build_item_codes(dataset_of(["x"] * 10, [[0, 1, 2]]), levels=2, width=2)
    assert result.codes.distinct() == 4
    assert result.statistics["collisions"] == 6


def test_progress_runs_to_its_end():
    seen = []
    build_item_codes(two_worlds(), levels=2, progress=lambda done, total, note="": seen.append((done, total)))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 1}, "1 levels"),
        ({"levels": 7}, "7 levels"),
        ({"width": 1}, "width of 1"),
        ({"width": 70000}, "70000"),
    ],
)
def test_impossible_shapes_are_refused(options, message):
    with pytest.raises(ItemCodesError, match=message):
        build_item_codes(two_worlds(), **options)


def test_dataset_without_items_is_refused():
    with pytest.raises(ItemCodesError, match="no items"):
        build_item_codes(dataset_of([], []))


def test_quantisation_adds_up_to_the_vectors_when_there_are_enough_clusters():
    vectors = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    quantization = quantize(vectors, 2, 16, 0, lambda done: None)
    assert quantization.error()[0] == pytest.approx(0, abs=1e-9)
    assert len(np.unique(quantization.codes[:, 0])) == 12


def test_quantisation_never_uses_more_than_its_width():
    vectors = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    quantization = quantize(vectors, 3, 4, 0, lambda done: None)
    assert [len(level) for level in quantization.centers] == [4, 4, 4]


def test_collision_in_the_last_level_takes_the_nearest_free_code():
    # Two items on centre 0 (at 0.0); centre 1 (at 1.0) is nearer than centre 2 (at 5.0).
    result = resolve_collisions(exact([[0, 0], [0, 0], [1, 0]], [[[0.0], [9.0]], [[0.0], [1.0], [5.0]]]), 3)
    assert sorted(result.codes[:2].tolist()) == [[0, 0], [0, 1]]
    assert result.codes[2].tolist() == [1, 0]
    assert (result.last_code_changed, result.moved) == (1, 0)


def test_full_last_level_spills_to_the_next_nearest_code_above():
    codes = exact([[0, 0], [0, 1], [0, 0], [1, 0]], [[[0.0], [9.0], [2.0]], [[0.0], [1.0]]])
    result = resolve_collisions(codes, 2 + 1)
    assert result.moved == 0  # the third last code has no centre but is free
    narrow = exact([[0, 0], [0, 1], [0, 0], [1, 0]], [[[0.0], [9.0]], [[0.0], [1.0]]])
    result = resolve_collisions(narrow, 2)
    assert result.moved == 1
    assert len(np.unique(result.codes, axis=0)) == 4
    assert sorted(result.codes[:3, 0].tolist()) == [0, 0, 1]


def test_codes_without_collisions_stay_as_they_are():
    codes = exact([[0, 0], [0, 1], [1, 0]], [[[0.0], [9.0]], [[0.0], [1.0]]])
    np.testing.assert_array_equal(resolve_collisions(codes, 2).codes, codes.codes)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), levels=st.integers(2, 4), width=st.integers(2, 4))
def test_items_share_codes_only_where_there_are_too_many(data, levels, width):
    code = st.integers(0, width - 1)
    rows = data.draw(st.lists(st.lists(code, min_size=levels, max_size=levels), min_size=1, max_size=30))
    centers = np.random.default_rng(0).normal(size=(levels, width, 2))
    result = resolve_collisions(exact(rows, list(centers)), width)
    codes = ItemCodes(result.codes, (width,) * levels)
    assert codes.distinct() == min(len(rows), width**levels)


@pytest.mark.slow
@pytest.mark.data
def test_seventeen_thousand_games_all_get_a_code_of_their_own():
    dataset = import_lcrec(research_data("games"), with_codes=False).dataset
    result = build_item_codes(dataset)
    assert result.codes.sizes == (256,) * 4
    assert result.codes.collisions() == 0
    assert all(level["perplexity"] > 64 for level in result.statistics["levels"])
