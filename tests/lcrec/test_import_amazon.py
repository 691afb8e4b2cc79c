import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrec.errors import DatasetError
from lcrec.importers.amazon import AMAZON2018, AMAZON2023
from lcrec.importers.interactions import Limits

FEW = Limits(min_interactions=1, first_only=True)

PAGE = "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();"


def ids(imported):
    dataset = imported.dataset
    users = zip(dataset.users, dataset.sequences, strict=True)
    return {user: [dataset.items[row].id for row in sequence] for user, sequence in users}


def asin(letter):
    return f"B00TEST{letter:0>3}"


def write_lines(path, records):
    text = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.fixture
def ratings(tmp_path):
    """Ratings of 2018: item first, no header; Ann comes back to item 1, Bob is too short once item 9 is unknown."""
    rows = [
        (asin("1"), "A1ANN0", "5.0", 100),
        (asin("2"), "A1ANN0", "2.0", 300),
        (asin("3"), "A1ANN0", "4.0", 200),
        (asin("1"), "A1ANN0", "4.0", 900),
        (asin("1"), "A2BOB0", "5.0", 1),
        (asin("2"), "A2BOB0", "5.0", 2),
        (asin("9"), "A2BOB0", "5.0", 3),
    ]
    path = tmp_path / "Lamps_and_Shades.csv"
    path.write_text("".join(f"{','.join(map(str, row))}\n" for row in rows))
    return path


@pytest.fixture
def meta(tmp_path):
    records = [
        {"asin": asin("1"), "title": "Desk Lamp &amp; Clamp", "description": ["Warm <b>light</b>.", "Two arms."],
         "brand": "by\n    Lumen", "category": ["Home", "Lamps", "</span></span></span>", "Colour: red"]},
        {"asin": asin("2"), "title": "", "description": "One paragraph.", "price": "$3"},
        {"asin": asin("3"), "title": "Paper Shade", "also_buy": ["B000000000"], "rank": "12 in Home"},
        {"asin": asin("9"), "title": PAGE},
        {"asin": asin("8"), "title": "Nobody's lamp"},
    ]  # fmt: skip
    return write_lines(tmp_path / "meta_Lamps_and_Shades.json.gz", records)


def test_amazon2018_ratings_have_the_item_first_and_no_header(ratings):
    imported = AMAZON2018.read(ratings, limits=Limits(first_only=True))
    assert ids(imported) == {
        "A1ANN0": [asin("1"), asin("3"), asin("2")],
        "A2BOB0": [asin("1"), asin("2"), asin("9")],
    }
    assert imported.dataset.name == "Lamps_and_Shades"
    assert [item.title for item in imported.dataset.items] == ["", "", "", ""]


def test_amazon2014_ratings_have_the_user_first_and_are_known_by_their_ids(ratings):
    expected = ids(AMAZON2018.read(ratings, limits=FEW))
    swapped = [line.split(",") for line in ratings.read_text().splitlines()]
    ratings.write_text("".join(f"{user},{item},{stars},{time}\n" for item, user, stars, time in swapped))
    assert ids(AMAZON2018.read(ratings, limits=FEW)) == expected


def test_amazon2018_every_drop_is_counted(ratings, meta):
    imported = AMAZON2018.read(ratings, meta=meta, limits=FEW)
    assert ids(imported) == {"A1ANN0": [asin("1"), asin("3"), asin("2")]}
    assert imported.repairs == {
        "html_entities_unescaped": 1,
        "markup_removed": 1,
        "empty_titles": 1,
        "metadata_is_script": 1,
        "repeated_items": 1,
        "items_without_metadata": 1,
        "interactions_with_unknown_items": 1,
        "users_put_in_time_order": 1,
        "users_too_short": 1,
    }
    assert list(imported.source) == ["Lamps_and_Shades.csv", "meta_Lamps_and_Shades.json.gz"]


def test_amazon2018_titles_and_texts_are_those_of_the_metadata(ratings, meta):
    items = {item.id: item for item in AMAZON2018.read(ratings, meta=meta, limits=FEW).dataset.items}
    assert items[asin("1")].title == "Desk Lamp & Clamp"
    assert items[asin("1")].text == "Warm light. Two arms. Lumen Home, Lamps"
    assert (items[asin("2")].title, items[asin("2")].text) == (f"Item {asin('2')}", "One paragraph.")
    assert (items[asin("3")].title, items[asin("3")].text) == ("Paper Shade", "")


def test_amazon2018_items_without_titles_can_be_dropped(ratings, meta):
    with ratings.open("a") as file:
        file.write(f"{asin('8')},A1ANN0,5.0,950\n")
    imported = AMAZON2018.read(ratings, meta=meta, limits=FEW, require_titles=True)
    assert ids(imported) == {"A1ANN0": [asin("1"), asin("3"), asin("8")]}
    assert imported.repairs["items_without_metadata"] == 2
    assert imported.repairs["interactions_with_unknown_items"] == 3


def test_amazon2018_reviews_are_the_same_as_ratings(ratings, meta, tmp_path):
    records = [
        {"overall": float(stars), "verified": True, "reviewTime": "01 1, 2018", "reviewerID": user, "asin": item,
         "reviewText": "Bright.", "summary": "Bright", "unixReviewTime": int(time)}
        for item, user, stars, time in (line.split(",") for line in ratings.read_text().splitlines())
    ]  # fmt: skip
    reviews = write_lines(tmp_path / "Lamps_and_Shades.json.gz", records)
    one, other = (AMAZON2018.read(source, meta=meta, limits=FEW) for source in (reviews, ratings))
    assert ids(one) == ids(other)
    assert one.dataset.items == other.dataset.items
    assert one.repairs == other.repairs


def test_amazon2018_first_row_of_an_item_counts(ratings, meta):
    with gzip.open(meta, "at") as file:
        file.write(json.dumps({"asin": asin("3"), "title": "Another shade"}) + "\n")
    imported = AMAZON2018.read(ratings, meta=meta, limits=FEW)
    assert "Paper Shade" in [item.title for item in imported.dataset.items]
    assert imported.repairs["conflicting_titles"] == 1


def test_amazon2018_a_row_with_a_title_counts_before_one_without(ratings, meta):
    with gzip.open(meta, "at") as file:
        file.write(json.dumps({"asin": asin("2"), "title": "Floor Lamp", "description": ["Tall."]}) + "\n")
        file.write(json.dumps({"asin": asin("2"), "title": " "}) + "\n")
    imported = AMAZON2018.read(ratings, meta=meta, limits=FEW, require_titles=True)
    assert {item.id: (item.title, item.text) for item in imported.dataset.items}[asin("2")] == ("Floor Lamp", "Tall.")
    assert "conflicting_titles" not in imported.repairs
    assert "empty_titles" not in imported.repairs


def test_amazon_files_may_begin_with_the_mark_of_windows(ratings, meta):
    expected = AMAZON2018.read(ratings, meta=meta, limits=FEW).dataset.items
    marked = meta.with_name("marked.json")
    marked.write_bytes(b"\xef\xbb\xbf" + gzip.decompress(meta.read_bytes()).replace(b"\n", b"\r\n"))
    assert AMAZON2018.read(ratings, meta=marked, limits=FEW).dataset.items == expected


def test_a_folder_in_the_place_of_a_file_is_called_one(ratings, tmp_path):
    with pytest.raises(DatasetError, match="is a folder"):
        AMAZON2018.read(ratings, meta=tmp_path, limits=FEW)


def test_amazon2018_long_texts_are_cut_between_words(ratings, tmp_path):
    records = [{"asin": asin(one), "title": one, "description": ["lamp " * 500]} for one in "1239"]
    imported = AMAZON2018.read(ratings, meta=write_lines(tmp_path / "meta.json", records), limits=FEW)
    assert {len(item.text) for item in imported.dataset.items} == {1999}
    assert imported.repairs["long_texts_cut"] == 4


def test_amazon_defaults_are_five_core_and_first_time_only(tmp_path):
    rows = [(user, item, 10 * user + item) for user in range(5) for item in range(5)]
    rows += [(0, 0, 99), (7, 0, 1), (7, 1, 2), (7, 2, 3), (7, 3, 4)]
    path = tmp_path / "Lamps.csv"
    path.write_text("".join(f"{asin(str(item))},A{user}USER,5.0,{time}\n" for user, item, time in rows))
    imported = AMAZON2018.read(path)
    assert imported.repairs == {"repeated_items": 1, "interactions_outside_core": 4}
    assert (len(imported.dataset.users), imported.dataset.interactions) == (5, 25)


@pytest.fixture
def ratings2023(tmp_path):
    rows = ["AEANN,P1,5.0,1600000000300", "AEANN,P2,4.0,1600000000100", "AEANN,P3,3.0,1600000000200"]
    path = tmp_path / "All_Lamps.csv.gz"
    path.write_bytes(gzip.compress("\n".join(["user_id,parent_asin,rating,timestamp", *rows]).encode()))
    return path


@pytest.fixture
def meta2023(tmp_path):
    records = [
        {"main_category": "Lamps", "title": "Reading Lamp", "features": ["Clips on"], "description": ["For", "books"],
         "store": "Lumen", "categories": ["Home", "Lamps"], "details": {"Brand": "Lumen"}, "parent_asin": "P1",
         "price": None, "bought_together": None},
        {"main_category": None, "title": None, "description": [], "store": None, "categories": [], "parent_asin": "P2"},
        {"title": "Lava Lamp", "description": [], "categories": ["Home"], "parent_asin": "P3"},
    ]  # fmt: skip
    return write_lines(tmp_path / "meta_All_Lamps.jsonl.gz", records)


def test_amazon2023_ratings_have_a_header_and_milliseconds(ratings2023, meta2023):
    imported = AMAZON2023.read(ratings2023, meta=meta2023, limits=FEW)
    assert ids(imported) == {"AEANN": ["P2", "P3", "P1"]}
    assert {item.id: (item.title, item.text) for item in imported.dataset.items} == {
        "P1": ("Reading Lamp", "For books Lumen Home, Lamps"),
        "P2": ("Item P2", ""),
        "P3": ("Lava Lamp", "Home"),
    }
    assert imported.dataset.name == "All_Lamps"


def test_amazon2023_ratings_may_carry_a_history(ratings2023, tmp_path):
    lines = gzip.decompress(ratings2023.read_bytes()).decode().splitlines()
    path = tmp_path / "All_Lamps.csv"
    path.write_text("\n".join([f"{lines[0]},history", *(f"{line},P7 P8" for line in lines[1:])]))
    assert ids(AMAZON2023.read(path, limits=FEW)) == {"AEANN": ["P2", "P3", "P1"]}


def test_amazon2023_reviews_are_counted_by_their_parent(tmp_path):
    records = [
        {"rating": 5.0, "title": "Good", "text": "Very.", "images": [], "asin": f"VARIANT{one}", "parent_asin": one,
         "user_id": "AEANN", "timestamp": time, "helpful_vote": 0, "verified_purchase": True}
        for one, time in (("P1", 3), ("P2", 1), ("P3", 2))
    ]  # fmt: skip
    imported = AMAZON2023.read(write_lines(tmp_path / "All_Lamps.jsonl.gz", records), limits=FEW)
    assert ids(imported) == {"AEANN": ["P2", "P3", "P1"]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"reviewerID": "A1", "asin": "B1", "overall": 5.0', r"Lamps\.json, line 2: .*truncated"),
        (b'{"reviewerID": "A1", "overall": 5.0, "unixReviewTime": 1}', "line 2: .*required field `asin`"),
        (b'{"reviewerID": "A1", "asin": 7, "overall": 5.0, "unixReviewTime": 1}', "line 2: .*asin"),
        (b'{"reviewerID": "A1", "asin": "B1", "overall": "5", "unixReviewTime": 1}', "line 2: .*overall"),
        (b'{"reviewerID": "", "asin": "B1", "overall": 5, "unixReviewTime": 1}', "line 2: an empty user"),
        (b'["A1", "B1", 5, 1]', "line 2: .*object"),
        (b'{"reviewerID": "\xff"}', "line 2: "),
    ],
)
def test_amazon_damaged_review_is_refused_with_its_line(line, message, tmp_path):
    path = tmp_path / "Lamps.json"
    path.write_bytes(b'{"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1}\n' + line + b"\n")
    with pytest.raises(DatasetError, match=message):
        AMAZON2018.read(path)


def test_amazon_truncated_gzip_is_named(meta, ratings):
    meta.write_bytes(meta.read_bytes()[:-30])
    with pytest.raises(DatasetError, match=r"meta_Lamps_and_Shades\.json\.gz .*truncated"):
        AMAZON2018.read(ratings, meta=meta, limits=FEW)


def test_amazon_damaged_gzip_is_named(ratings2023):
    content = bytearray(ratings2023.read_bytes())
    content[40] ^= 255
    ratings2023.write_bytes(content)
    with pytest.raises(DatasetError, match=r"All_Lamps\.csv\.gz"):
        AMAZON2023.read(ratings2023)


def test_amazon_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "Lamps.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"expected a name that ends in \.csv"):
        AMAZON2018.read(tmp_path / "Lamps.txt")


def test_amazon_ratings_with_a_header_are_refused_with_their_line(ratings):
    ratings.write_text("item,user,rating,timestamp\n" + ratings.read_text())
    with pytest.raises(DatasetError, match="line 1: timestamp is 'timestamp'"):
        AMAZON2018.read(ratings)


def test_amazon_missing_metadata_are_named(ratings, tmp_path):
    with pytest.raises(DatasetError, match=r"meta_none\.json\.gz is missing"):
        AMAZON2018.read(ratings, meta=tmp_path / "meta_none.json.gz")


def test_amazon_progress_goes_through_the_files_once(ratings, meta):
    seen = []
    AMAZON2018.read(ratings, meta=meta, limits=FEW, progress=lambda done, total, note="": seen.append((done, total)))
    total = ratings.stat().st_size + 2 * meta.stat().st_size
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (total, total)
    assert {of for _, of in seen} == {total}


def lcrec_steps(rows, known, k):
    """LC-Rec's preparation in the plainest words: sort, first time only, known items, k-core."""
    kept, seen = [], set()
    for time, user, item in sorted((time, user, item) for user, item, time in rows):
        if (user, item) not in seen:
            seen.add((user, item))
            kept.append((user, item, time))
    kept = [row for row in kept if row[1] in known]
    while True:
        users, items = [row[0] for row in kept], [row[1] for row in kept]
        left = [row for row in kept if users.count(row[0]) >= k and items.count(row[1]) >= k]
        if left == kept:
            return {user: [item for one, item, _ in kept if one == user] for user, _, _ in kept}
        kept = left


rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 99)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(events=rows, known=st.sets(st.integers(0, 5), min_size=3), k=st.integers(3, 4))
def test_amazon_steps_are_those_of_lcrec(events, known, k, tmp_path_factory):
    events = list({(user, time): (user, item, time) for user, item, time in events}.values())  # no equal times
    folder = tmp_path_factory.mktemp("amazon")
    path = folder / "Lamps.csv"
    path.write_text("".join(f"{asin(str(item))},A{user}USER,5.0,{time}\n" for user, item, time in events))
    meta = write_lines(folder / "meta.json", [{"asin": asin(str(item)), "title": "Lamp"} for item in known])
    expected = {
        f"A{user}USER": [asin(str(item)) for item in items] for user, items in lcrec_steps(events, known, k).items()
    }
    limits = Limits(min_interactions=k, first_only=True)
    if expected:
        assert ids(AMAZON2018.read(path, meta=meta, limits=limits)) == expected
    else:
        with pytest.raises(DatasetError, match="is left"):
            AMAZON2018.read(path, meta=meta, limits=limits)
