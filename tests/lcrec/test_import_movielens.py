import pytest

from lcrec.embedded import embedded_movielens
from lcrec.errors import DatasetError
from lcrec.importers.interactions import Limits
from lcrec.importers.movielens import import_movielens


@pytest.fixture
def movielens(tmp_path):
    """Two users, four films, one of which nobody likes."""
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n2,Heat (1995),(no genres listed)\n"
        '3,"American President, The (1995)",Drama\n9,Nobody (2000),Drama\n'
    )
    ratings = ["1,1,4.0,30", "1,2,5.0,10", "1,3,4.5,20", "2,1,4.0,1", "2,2,4.0,2", "2,3,4.0,3", "2,9,3.5,4"]
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(ratings) + "\n")
    return tmp_path


def ids(imported):
    dataset = imported.dataset
    users = zip(dataset.users, dataset.sequences, strict=True)
    return {user: [dataset.items[row].id for row in sequence] for user, sequence in users}


def test_movielens_likes_become_sequences(movielens):
    imported = import_movielens(movielens, limits=Limits(4.0, 2))
    assert ids(imported) == {"1": ["2", "3", "1"], "2": ["1", "2", "3"]}
    assert imported.repairs == {
        "users_put_in_time_order": 1,
        "interactions_below_min_rating": 1,
        "items_without_interactions": 1,
    }


def test_movielens_titles_and_genres_are_in_the_order_of_the_films(movielens):
    items = import_movielens(movielens, limits=Limits(4.0, 2)).dataset.items
    assert [item.title for item in items] == ["Toy Story (1995)", "Heat (1995)", "American President, The (1995)"]
    assert [item.text for item in items] == ["Animation Comedy", "", "Drama"]


def test_movielens_year_of_its_own_column_joins_the_title(movielens):
    (movielens / "movies.csv").write_text(
        "movieId,title,year,genres\n1,Toy Story,1995.0,Comedy\n2,Heat,,Drama\n3,,1999,Drama\n9,X,1990,Drama\n"
    )
    items = import_movielens(movielens, limits=Limits(4.0, 2)).dataset.items
    assert [item.title for item in items] == ["Toy Story (1995)", "Heat", "Item 3"]


@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_movielens_missing_file_is_named(movielens, name):
    (movielens / name).unlink()
    with pytest.raises(DatasetError, match=name):
        import_movielens(movielens)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2,77,4.0,5", "line 9: film '77' is not in movies.csv"),
        ("2,1,five,5", "line 9: rating is 'five'"),
        ("2,1,4.0,now", "line 9: timestamp is 'now'"),
        ("2,1,4.0", r"line 9: 3 fields.*truncated"),
        (",1,4.0,5", "line 9: an empty userId"),
    ],
)
def test_movielens_damaged_rating_is_refused_with_its_line(movielens, row, message):
    with (movielens / "ratings.csv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(DatasetError, match=message):
        import_movielens(movielens)


def test_movielens_film_twice_is_refused(movielens):
    with (movielens / "movies.csv").open("a") as file:
        file.write("1,Again (1995),Drama\n")
    with pytest.raises(DatasetError, match="line 6: movieId '1'"):
        import_movielens(movielens)


def test_embedded_movielens_is_already_reduced():
    imported = import_movielens(embedded_movielens())
    dataset = imported.dataset
    assert (len(dataset.users), len(dataset.items), dataset.interactions) == (659, 2078, 44413)
    assert set(imported.repairs) == {"equal_times"}
    assert dataset.items[0].title == "Toy Story (1995)"


def test_embedded_movielens_is_small_and_carries_its_conditions():
    folder = embedded_movielens()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2_000_000
    readme = (folder / "README.md").read_text()
    assert all(word in readme for word in ("GroupLens", "endorsement", "commercial", "10.1145/2827872"))
