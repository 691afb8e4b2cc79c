import pytest
from hypothesis import given
from hypothesis import strategies as st
from research_data import research_data

from lcrec.dataset import load_dataset
from lcrec.embedded import embedded_movielens
from lcrec.embedded.make_movielens import main as make_movielens
from lcrec.importers.lcrec_format import import_lcrec
from lcrec.importers.movielens import import_movielens
from lcrec.importers.repairs import REPAIRS, Repairs
from lcrec.importers.titles import clean_markup, clean_text, clean_title


def ids(imported):
    dataset = imported.dataset
    users = zip(dataset.users, dataset.sequences, strict=True)
    return {user: [dataset.items[row].id for row in sequence] for user, sequence in users}


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        ("Pok&eacute;mon", "Pokémon"),
        ("Cr&amp;egrave;me", "Crème"),
        ("&#9733; PLUS &#x2605;", "★ PLUS ★"),
        ("R&D", "R&D"),
        ("Pens&paragraphs", "Pens&paragraphs"),
        (" two\u2028lines\x00 ", "two lines"),
        ("half \ud83d", "half ?"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("&nbsp;", "Item 7"),
        ("", "Item 7"),
    ],
)
def test_titles_are_tidied(title, clean):
    assert clean_title(title, "7", Repairs()) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("<b>Bold</b>, plain", "Bold, plain"),
        ("&lt;p&gt;One&lt;/p&gt;<P>Two</P>", "One Two"),
        ("A<br/>B<!-- not said --> C", "A B C"),
        ("Lamp <script type='x'>var a = '<b>';</script>shade<style>p {}</style>", "Lamp shade"),
        ("cut <script>var a", "cut"),
        ("3 < 4 and 5 > 2, I <3 it", "3 < 4 and 5 > 2, I <3 it"),
        ("R&amp;D", "R&D"),
    ],
)
def test_markup_is_left_out(text, clean):
    assert clean_markup(text, Repairs()) == clean


@given(st.text(st.characters(exclude_categories=[]), max_size=30))
def test_tidied_text_is_one_writable_line(text):
    clean = clean_text(text, Repairs())
    clean.encode()
    assert clean == clean.strip()
    assert len(clean.splitlines()) <= 1


def test_only_documented_repairs_can_be_counted():
    with pytest.raises(KeyError):
        Repairs().add("made_up")
    assert all(sentence for sentence in REPAIRS.values())


# Research data


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "users", "items", "interactions", "collisions"),
    [
        ("games", 50546, 16859, 452989, 142),
        ("instruments", 24772, 9922, 206153, 25),
        ("beauty", 22363, 12101, 198502, 13),
    ],
)
def test_research_data_survive_the_round_trip(name, users, items, interactions, collisions, tmp_path):
    imported = import_lcrec(research_data(name))
    imported.save(tmp_path / name)
    dataset = load_dataset(tmp_path / name)
    assert (len(dataset.users), len(dataset.items), dataset.interactions) == (users, items, interactions)
    assert dataset.require_codes().collisions() == collisions
    assert all("&eacute;" not in item.title for item in dataset.items)


@pytest.mark.data
def test_beauty_items_without_titles_are_named_and_counted():
    imported = import_lcrec(research_data("beauty"))
    assert imported.repairs["empty_titles"] == 7
    assert sum(item.title == f"Item {item.id}" for item in imported.dataset.items) == 7


@pytest.mark.data
def test_full_movielens_reduces_to_the_embedded_files(tmp_path, capsys):
    make_movielens(research_data("movielens"), tmp_path)
    assert "659 users, 2078 items, 44413 interactions" in capsys.readouterr().out
    for name in ("ratings.csv", "movies.csv"):
        assert (tmp_path / name).read_bytes() == (embedded_movielens() / name).read_bytes()


@pytest.mark.data
def test_full_movielens_gives_the_same_dataset_as_the_embedded_files():
    full, embedded = import_movielens(research_data("movielens")), import_movielens(embedded_movielens())
    assert ids(full) == ids(embedded)
    assert full.dataset.items == embedded.dataset.items
