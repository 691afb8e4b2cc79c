import gzip
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrec.errors import DatasetError
from lcrec.importers.interactions import Limits
from lcrec.importers.json_lines import read_python_lines
from lcrec.importers.steam import STEAM

FEW = Limits(min_interactions=1, first_only=True)


def ids(imported):
    dataset = imported.dataset
    users = zip(dataset.users, dataset.sequences, strict=True)
    return {user: [dataset.items[row].id for row in sequence] for user, sequence in users}


def review(user, game, day, text='It\'s "fine"'):
    return (
        f"{{u'username': {user!r}, u'hours': 1.5, u'products': 4, u'product_id': u'{game}', u'page_order': 0, "
        f"u'date': u'{day}', u'text': u{text!r}, u'early_access': False, u'page': 1}}"
    )


@pytest.fixture
def reviews(tmp_path):
    lines = [
        review("Ann", 30, "2017-05-03"),
        review("Ann", 10, "2017-05-01", "u'username': u'Bob'"),
        review("Ann", 20, "2017-05-02"),
        review("Ann", 10, "2017-06-01"),
        review("Björk \U0001f3ae", 20, "2018-01-01"),
    ]
    path = tmp_path / "steam_reviews.json.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


@pytest.fixture
def games(tmp_path):
    lines = [
        "{u'publisher': u'Hut', u'genres': [u'Indie'], u'app_name': u'Caf\\xe9 Run', u'title': u'Cafe Run', "
        "u'release_date': u'2017-01-04', u'tags': [u'Runner', u'Indie'], u'price': 4.99, "
        "u'id': u'10', u'developer': u'Hut'}",
        "{u'app_name': u'No number', u'price': u'Free To Play'}",
        "{u'title': u'Maze &amp; Moss', u'id': u'20', u'metascore': 96, u'early_access': True}",
        "{u'app_name': None, u'id': u'30', u'genres': [u'Puzzle']}",
    ]
    path = tmp_path / "steam_games.json"
    path.write_text("\n".join(lines))
    return path


def test_steam_reviews_are_python_and_become_sequences(reviews):
    imported = STEAM.read(reviews, limits=FEW)
    assert ids(imported) == {"Ann": ["10", "20", "30"]}
    assert imported.repairs == {"repeated_items": 1, "users_put_in_time_order": 1, "users_too_short": 1}
    assert imported.dataset.name == "steam_reviews"


def test_steam_games_give_titles_genres_and_tags(reviews, games):
    items = {item.id: item for item in STEAM.read(reviews, meta=games, limits=FEW).dataset.items}
    assert (items["10"].title, items["10"].text) == ("Café Run", "Indie, Runner, Hut")
    assert (items["20"].title, items["20"].text) == ("Maze & Moss", "")
    assert (items["30"].title, items["30"].text) == ("Item 30", "Puzzle")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{u'username': u'Ann', ", r"steam_reviews\.json, line 2: no Python dictionary .*truncated"),
        ("{u'username': u'Ann', u'product_id': u'1'}", "line 2: .*required field `date`"),
        ("{u'username': 7, u'product_id': u'1', u'date': u'2017-01-01'}", "line 2: .*username"),
        ("{u'username': u'Ann', u'product_id': u'1', u'date': u'yesterday'}", "line 2: .*date"),
        ("__import__('os').system('true')", "line 2: no Python dictionary"),
        ("(" * 10_000, "line 2: no Python dictionary"),
        ("{u'username': u'', u'product_id': u'1', u'date': u'2017-01-01'}", "line 2: an empty username"),
    ],
)
def test_steam_damaged_line_is_refused_and_never_run(line, message, tmp_path):
    path = tmp_path / "steam_reviews.json"
    path.write_text(f"{review('Ann', 1, '2017-01-01')}\n{line}\n")
    with pytest.raises(DatasetError, match=message):
        STEAM.read(path)


values = st.one_of(
    st.text(max_size=12),
    st.text("'\"\\\\u,}: ", max_size=8),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.lists(st.text(max_size=3), max_size=2),
)


class Anything(msgspec.Struct):
    a: Any = None
    b: Any = None


@settings(max_examples=200, deadline=None)
@given(record=st.dictionaries(st.sampled_from(["a", "b", "c", "it's", "d e"]), values))
def test_python_lines_read_as_python_reads_them(record, tmp_path_factory):
    path = tmp_path_factory.mktemp("steam") / "lines.json"
    path.write_text(f"{record!r}\n{record!r}", encoding="utf-8")
    expected = Anything(record.get("a"), record.get("b"))
    assert list(read_python_lines(path, Anything)) == [(1, expected), (2, expected)]
