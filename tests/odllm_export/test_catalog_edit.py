import json
import os

import numpy as np
import pytest

from lcrec.catalog import read_catalog
from lcrec.errors import CatalogError
from lcrec.nearest_titles import nearest_titles
from odllm_artifact import ArtifactError, read_json, sha256_file, sha256_folder, write_json
from odllm_export import bundle
from odllm_export.catalog_edit import add_items, block_items, catalog_memory_bytes, remove_items, unblock_items
from odllm_export.catalog_list import list_catalog
from odllm_export.errors import BundleError, CatalogEditError, HistoryError
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.new_items import NewItem, read_new_items
from odllm_export.runtime import Recommender
from odllm_export.verify import random_cases, require_verified, verify_bundle

BEAMS = 12


@pytest.fixture
def model(make_model_folder):
    return make_model_folder()[0]


@pytest.fixture
def folder(model, make_dataset, tmp_path):
    """A bundle of 60 items, i0 … i59."""
    out = tmp_path / "bundle"
    export_bundle(model, make_dataset(), out, ExportOptions(num_beams=BEAMS, top_k=5))
    return out


def everything(folder, history=("i1",)):
    """Every item that the bundle returns when asked again and again for what it has not returned yet."""
    recommender, found = Recommender.open(folder), []
    while more := recommender.recommend(list(history), top_k=BEAMS, blocked=found):
        found += [one.item_id for one in more]
    return found


def codes_of(folder):
    listing = list_catalog(folder, limit=1000)
    return {one.id: one.codes for one in listing.shown}


def refused(folder, error, message, edit):
    """The edit is refused in words, and nothing on disk has changed, beside the bundle neither."""
    before = sha256_folder(folder), sorted(folder.parent.iterdir())
    with pytest.raises(error, match=message) as caught:
        edit()
    assert caught.value.exit_code == 2
    assert (sha256_folder(folder), sorted(folder.parent.iterdir())) == before


# What each operation does to what comes back


def test_a_blocked_item_never_comes_back_and_histories_may_still_hold_it(folder):
    before = Recommender.open(folder).recommend(["i3", "i7"])
    first = before[0].item_id
    change = block_items(folder, [first])
    assert (change.counts, change.items, change.live_items) == ({"blocked": 1}, 60, 59)
    after = Recommender.open(folder).recommend(["i3", "i7"])
    assert first not in [one.item_id for one in after]
    assert Recommender.open(folder).recommend([first])
    assert len(everything(folder)) == 59


def test_unblocking_brings_the_same_lists_back(folder):
    catalog = (folder / bundle.CATALOG).read_bytes()
    block_items(folder, ["i3", "i9"])
    assert unblock_items(folder, ["i3", "i9", "i11"]).counts == {"unblocked": 2}
    assert (folder / bundle.CATALOG).read_bytes() == catalog


def test_a_removed_item_is_unknown_and_the_others_keep_their_codes(folder):
    before = codes_of(folder)
    assert remove_items(folder, ["i0", "i30", "i0"]).counts == {"removed": 2}
    recommender = Recommender.open(folder)
    with pytest.raises(HistoryError, match="'i30' is not in this bundle's 58 items"):
        recommender.recommend(["i30"])
    del before["i0"], before["i30"]
    assert codes_of(folder) == before
    assert sorted(everything(folder)) == sorted(before)
    assert recommender.recommend(["i31"])[0].title.startswith("Item number")


def test_removing_an_item_changes_no_score_of_the_others_when_codes_are_shared(folder):
    add_items(folder, [NewItem("twin", "Twin", like="i5")])
    before = {one.item_id: one.score for one in Recommender.open(folder).recommend(["i1", "i2"], top_k=BEAMS)}
    remove_items(folder, ["twin"])
    after = {one.item_id: one.score for one in Recommender.open(folder).recommend(["i1", "i2"], top_k=BEAMS)}
    assert all(after[item] == score for item, score in before.items() if item in after)


def test_items_that_share_a_code_come_back_together_in_row_order(folder):
    target = Recommender.open(folder).recommend(["i3"])[0].item_id
    add_items(folder, [NewItem(name, f"Like {target}", like=target) for name in ("zz", "aa", "mm")])
    found = Recommender.open(folder).recommend(["i3"], top_k=BEAMS)
    together = [one.item_id for one in found if one.score == found[0].score]
    codes = codes_of(folder)
    assert together == [item for item in codes if codes[item] == codes[target]]
    assert [item for item in together if item in ("zz", "aa", "mm")] == ["zz", "aa", "mm"]


def test_given_codes_make_a_path_that_no_item_had(folder):
    taken = set(codes_of(folder).values())
    free = next((a, b, c) for a in range(4) for b in range(4) for c in range(4) if (a, b, c) not in taken)
    change = add_items(folder, [NewItem("new", "New item", codes=free)])
    assert (change.placed[0].source, change.items) == ("given", 61)
    assert codes_of(folder)["new"] == free
    assert "new" in everything(folder)


def test_a_new_item_may_stand_in_a_history(folder):
    add_items(folder, [NewItem("new", "New item", like="i5")])
    recommender = Recommender.open(folder)
    assert recommender.recommend(["new"]) == recommender.recommend(["i5"])


def test_the_nearest_title_gives_the_codes_and_is_named(folder):
    (placed,) = add_items(folder, [NewItem("new", "item  NUMBER 17b")]).placed
    assert (placed.source, placed.like, placed.like_title) == ("nearest title", "i17", "Item number 17")
    assert 0.5 < placed.nearness < 1
    assert placed.codes == codes_of(folder)["i17"]


def test_what_was_blocked_stays_blocked_through_add_and_remove(folder):
    block_items(folder, ["i10", "i50"])
    add_items(folder, [NewItem("new", "New", codes=(0, 0, 0))])
    remove_items(folder, ["i2", "i40"])
    assert [one.id for one in list_catalog(folder, blocked_only=True).shown] == ["i10", "i50"]
    assert sorted(everything(folder)) == sorted({*codes_of(folder)} - {"i10", "i50"})


@pytest.mark.parametrize("live", [1, 4, 5])
def test_fewer_live_items_than_asked_for_all_come_back(folder, live):
    block_items(folder, [f"i{row}" for row in range(live, 60)])
    found = Recommender.open(folder).recommend(["i59"])
    assert sorted(one.item_id for one in found) == [f"i{row}" for row in range(live)]


def test_when_a_call_blocks_every_live_item_nothing_comes_back(folder):
    block_items(folder, [f"i{row}" for row in range(2, 60)])
    assert Recommender.open(folder).recommend(["i1"], blocked={"i0", "i1"}) == []


def test_after_many_changes_the_lists_are_still_the_models(folder, model):
    add_items(folder, [NewItem(f"n{row}", f"New {row}", codes=(row % 4, 3 - row % 4, row % 3)) for row in range(20)])
    remove_items(folder, [f"i{row}" for row in range(0, 60, 7)])
    block_items(folder, [f"i{row}" for row in range(1, 60, 5) if row % 7])
    recommender = Recommender.open(folder)
    found = verify_bundle(recommender, model, random_cases(recommender, 20))
    require_verified(found)
    assert found.identical_lists == 20


# What stands in the folder afterwards


def test_the_model_stays_byte_for_byte_and_the_manifest_follows(folder):
    before = bundle.read_manifest(folder)
    add_items(folder, [NewItem("new", "A new title", like="i5")])
    manifest = bundle.read_manifest(folder)
    bundle.check_files(folder, manifest)
    assert {path.name for path in folder.iterdir()} == {*manifest.files, bundle.MANIFEST}
    for name in (bundle.GRAPH, bundle.WEIGHTS):
        assert manifest.files[name] == before.files[name]
    for name in (bundle.CATALOG, bundle.ITEMS, bundle.GOLDEN, bundle.MODEL_CARD):
        assert manifest.files[name].sha256 != before.files[name].sha256
    assert (manifest.items, before.items) == (61, 60)
    assert manifest.search == before.search


def test_the_expected_memory_follows_and_comes_back(folder):
    before = bundle.read_manifest(folder).expected_peak_memory_bytes
    catalog, table = read_catalog(folder / bundle.CATALOG), (folder / bundle.ITEMS).stat().st_size
    add_items(folder, [NewItem(f"n{row}", "New", like="i5") for row in range(1000)])
    grown = bundle.read_manifest(folder).expected_peak_memory_bytes
    new_table = (folder / bundle.ITEMS).stat().st_size
    more = catalog_memory_bytes(read_catalog(folder / bundle.CATALOG), new_table) - catalog_memory_bytes(catalog, table)
    assert grown - before == more > 1000 * 4 * 8
    remove_items(folder, [f"n{row}" for row in range(1000)])
    assert bundle.read_manifest(folder).expected_peak_memory_bytes == before


def test_the_history_of_changes_adds_up(folder):
    add_items(folder, [NewItem("a", "Item A", like="i1"), NewItem("b", "Item B", like="i2")])
    block_items(folder, ["i1", "i2"])
    block_items(folder, ["i2", "i3"])  # i2 was blocked before
    unblock_items(folder, ["i3"])
    remove_items(folder, ["b"])
    edits = "added 2, removed 1, blocked 3, unblocked 1"
    assert bundle.read_manifest(folder).provenance["catalog_edits"] == edits
    card = (folder / bundle.MODEL_CARD).read_text()
    assert "| items | 61, 3 codes each |" in card
    assert card.count("catalog_edits") == 1
    assert edits in card


def test_a_change_that_changes_nothing_leaves_the_bundle_alone(folder):
    block_items(folder, ["i3"])
    before = sha256_folder(folder)
    assert block_items(folder, ["i3"]).counts == {"blocked": 0}
    assert sha256_folder(folder) == before
    assert sha256_folder(block_items(folder, ["i3"], out=folder.with_name("copy")).folder) == before


def test_golden_lists_are_the_graphs_own_and_say_so(folder):
    assert read_json(folder / bundle.GOLDEN)["computed_by"] == "model"
    first = read_json(folder / bundle.GOLDEN)["cases"][0]["history"][0]
    assert remove_items(folder, [first, "i4"]).golden_cases == 8
    golden, recommender = read_json(folder / bundle.GOLDEN), Recommender.open(folder)
    assert golden["computed_by"] == "graph"
    for case in golden["cases"]:
        assert not {first, "i4"} & {*case["history"], *case["blocked"], *case["items"]}
        found = recommender.recommend(case["history"], top_k=BEAMS, blocked=case["blocked"])
        assert [one.item_id for one in found] == case["items"]
    block_items(folder, ["i50"])  # lists of the graph are checked like those of the model


def test_golden_cases_whose_history_is_gone_are_dropped_but_one_is_kept(folder):
    used = {item for case in read_json(folder / bundle.GOLDEN)["cases"] for item in case["history"]}
    rest = sorted({f"i{row}" for row in range(60)} - used)
    assert rest, "the histories must leave some item over"
    assert remove_items(folder, sorted(used)).golden_cases == 1
    (case,) = read_json(folder / bundle.GOLDEN)["cases"]
    assert {*case["history"], *case["items"]} <= {*rest}


def test_a_bundle_without_golden_lists_can_be_changed(folder):
    (folder / bundle.GOLDEN).unlink()
    manifest = read_json(folder / bundle.MANIFEST)
    del manifest["files"][bundle.GOLDEN]
    write_json(folder / bundle.MANIFEST, manifest)
    assert block_items(folder, ["i5"]).golden_cases == 0
    assert not (folder / bundle.GOLDEN).exists()


def test_what_else_an_item_line_holds_is_kept(folder):
    path = folder / bundle.ITEMS
    lines = [json.dumps(json.loads(line) | {"image": "a.png"}) for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))  # and no newline at the end
    manifest = read_json(folder / bundle.MANIFEST)
    manifest["files"][bundle.ITEMS] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    write_json(folder / bundle.MANIFEST, manifest)
    remove_items(folder, ["i0"])
    add_items(folder, [NewItem("new", "New \u2028 日本", like="i1")])
    changed = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    assert changed[:-1] == [json.loads(line) for line in lines[1:]]
    assert changed[-1] == {"id": "new", "title": "New \u2028 日本"}


def test_with_out_the_original_stays_and_shares_nothing(folder, tmp_path):
    before = sha256_folder(folder)
    change = remove_items(folder, ["i5"], out=tmp_path / "other")
    assert change.folder == tmp_path / "other"
    assert sha256_folder(folder) == before
    assert bundle.read_manifest(change.folder).items == 59
    assert not os.path.samefile(folder / bundle.WEIGHTS, change.folder / bundle.WEIGHTS)
    with pytest.raises(ArtifactError, match="--overwrite"):
        remove_items(folder, ["i6"], out=change.folder)
    remove_items(folder, ["i6"], out=change.folder, overwrite=True)
    assert "i5" in codes_of(change.folder)


@pytest.mark.parametrize("place", ["inner", ".."])
def test_a_result_inside_or_around_the_bundle_is_refused(folder, place):
    out = folder / place
    refused(folder, CatalogEditError, "in one another", lambda: block_items(folder, ["i1"], out=out, overwrite=True))


def test_in_place_the_weights_are_linked_or_else_copied(folder, monkeypatch):
    inode = (folder / bundle.WEIGHTS).stat().st_ino
    block_items(folder, ["i5"])
    assert (folder / bundle.WEIGHTS).stat().st_ino == inode

    def no_links(*_):
        raise OSError("this file system has no links")

    monkeypatch.setattr(os, "link", no_links)
    block_items(folder, ["i6"])
    assert (folder / bundle.WEIGHTS).stat().st_ino != inode
    bundle.check_files(folder, bundle.read_manifest(folder))


def test_files_and_folders_of_the_user_are_kept(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "images").mkdir()
    (folder / "images" / "1.png").write_bytes(b"png")
    block_items(folder, ["i5"])
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "images" / "1.png").read_bytes() == b"png"


def test_a_bundle_behind_a_symbolic_link_is_changed_where_it_is(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert block_items(link, ["i5"]).folder == folder
    assert link.is_symlink()
    assert bundle.read_manifest(folder).provenance["catalog_edits"] == "blocked 1"


def test_an_interrupted_change_leaves_the_bundle_as_it_was(folder, monkeypatch):
    before = sha256_folder(folder), sorted(folder.parent.iterdir())

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "write_manifest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        remove_items(folder, ["i5"])
    assert (sha256_folder(folder), sorted(folder.parent.iterdir())) == before


# What is refused


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ([], "no items to add"),
        ([NewItem("i3", "Again")], "'i3' is there already"),
        ([NewItem("a", "A", like="i1"), NewItem("a", "A", like="i1")], "'a' is there already"),
        ([NewItem("", "A", like="i1")], "an id is one line of text"),
        ([NewItem("a\nb", "A", like="i1")], "an id is one line of text"),
        ([NewItem("a\ud800", "A", like="i1")], "an id is one line of text"),
        ([NewItem("a", "A", codes=(0, 0))], r"has the codes \[0, 0\]; the model speaks 3 codes an item"),
        ([NewItem("a", "A", codes=(0, 4, 0))], "each from 0 to 3, 3, 3"),
        ([NewItem("a", "A", codes=(0, -1, 0))], "each from 0 to"),
        ([NewItem("a", "A", codes=(0, 10**30, 0))], "each from 0 to"),
        ([NewItem("a", "A", codes=(0, 0, 0), like="i1")], "give one of the two"),
        ([NewItem("a", "Ωψξ")], "nothing|anything in common with 'Ωψξ'"),
        ([NewItem("a", "")], "anything in common"),
    ],
)
def test_items_that_cannot_be_added(folder, new, message):
    refused(folder, CatalogEditError, message, lambda: add_items(folder, new))


def test_an_unknown_item_is_named_with_near_ones(folder):
    for edit in (remove_items, block_items, unblock_items):
        refused(folder, HistoryError, "'i3x' is not in.*Did you mean i3", lambda edit=edit: edit(folder, ["i1", "i3x"]))
    new = [NewItem("a", "A", like="i3x")]
    refused(folder, HistoryError, "Did you mean i3", lambda: add_items(folder, new))


def test_an_empty_catalogue_is_refused(folder):
    ids = [f"i{row}" for row in range(60)]
    refused(folder, CatalogEditError, "no item would be left", lambda: remove_items(folder, ids))
    refused(folder, CatalogEditError, "no item would be left", lambda: block_items(folder, ids))
    block_items(folder, ids[:30])
    refused(folder, CatalogEditError, "no item would be left", lambda: remove_items(folder, ids[30:]))


@pytest.mark.parametrize("name", [bundle.WEIGHTS, bundle.CATALOG, bundle.ITEMS, bundle.GOLDEN])
def test_a_damaged_bundle_is_not_changed(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    refused(folder, BundleError, f"{name} is damaged", lambda: block_items(folder, ["i1"]))


def change_golden(folder, change):
    """Write other golden lists, and the manifest to match."""
    path = folder / bundle.GOLDEN
    golden = read_json(path)
    change(golden)
    write_json(path, golden)
    manifest = read_json(folder / bundle.MANIFEST)
    manifest["files"][bundle.GOLDEN] = {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    write_json(folder / bundle.MANIFEST, manifest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g["cases"][2]["scores"].__setitem__(0, 1.0), "case 3 of 8: item row"),
        (lambda g: g["cases"][0]["items"].reverse(), "does not give its golden lists on this machine"),
        (lambda g: g["cases"][0]["items"].__setitem__(0, "nobody"), "golden lists do not fit"),
        (lambda g: g["cases"][0].pop("history"), "damaged"),
        (lambda g: g["cases"].clear(), "no cases"),
    ],
)
def test_a_graph_that_does_not_give_its_golden_lists_is_not_trusted_with_new_ones(folder, change, message):
    change_golden(folder, change)
    refused(folder, BundleError, message, lambda: block_items(folder, ["i1"]))


def test_a_catalogue_file_with_matching_hash_but_wrong_arrays_is_refused(folder):
    path = folder / bundle.CATALOG
    data = bytearray(path.read_bytes())
    data[-4:] = (1 << 20).to_bytes(4, "little")  # the widest code of all, said to be wider
    path.write_bytes(data)
    manifest = read_json(folder / bundle.MANIFEST)
    manifest["files"][bundle.CATALOG] = {"bytes": len(data), "sha256": sha256_file(path)}
    write_json(folder / bundle.MANIFEST, manifest)
    refused(folder, CatalogError, "level_width", lambda: block_items(folder, ["i1"]))


# New items from a file, and titles


def test_new_items_are_read_a_line_each(tmp_path):
    path = tmp_path / "new.jsonl"
    path.write_text('{"id": "a", "title": "A", "codes": [1, 2, 3]}\n\n{"id": "b", "title": "B", "like": "i1"}\n')
    assert read_new_items(path) == [NewItem("a", "A", (1, 2, 3)), NewItem("b", "B", like="i1")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a", "title": "A"}\n{"id": "b"', "line 2"),
        ('{"id": "a"}', "line 1.*title"),
        ('{"id": "a", "title": "A", "code": [1]}', "line 1.*code"),
        ('{"id": 1, "title": "A"}', "line 1.*str"),
        (b'{"id": "a\xff", "title": "A"}', "line 1"),
    ],
)
def test_lines_that_are_no_items_are_named(tmp_path, text, message):
    path = tmp_path / "new.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CatalogEditError, match=message):
        read_new_items(path)
    with pytest.raises(CatalogEditError, match="cannot read"):
        read_new_items(tmp_path / "nowhere")


def test_near_titles_are_found_across_case_spelling_and_word_order():
    titles = ["Toy Story (1995)", "Star Wars (1977)", "Up (2009)", "It", "", "日本の夏"]
    new = ["star WARS: Episode IX", "Toy Sotry 5", "Up", "IT", "日本", "Story of a Toy"]
    rows, cosines = nearest_titles(titles, new)
    assert rows.tolist() == [1, 0, 2, 3, 5, 0]
    assert ((cosines > 0) & (cosines <= 1)).all()
    assert cosines[3] == pytest.approx(1)


def test_a_title_is_nearest_to_itself_and_nothing_to_nothing():
    titles = [f"Title {name}" for name in "ABCDEFGH"] + ["Title A"]
    rows, cosines = nearest_titles(titles, [*titles[:8], "", "zzzz"])
    assert rows[:8].tolist() == list(range(8))
    np.testing.assert_allclose(cosines[:8], 1, atol=1e-6)
    assert cosines[8:].tolist() == [0, 0]


# Looking at a catalogue


def test_a_listing_searches_counts_and_limits(folder):
    block_items(folder, ["i3", "i31"])
    listing = list_catalog(folder, search="NUMBER 3", limit=4)
    assert (listing.matching, listing.items, listing.live, listing.blocked) == (11, 60, 58, 2)
    assert [(one.id, one.state) for one in listing.shown] == [
        ("i3", "blocked"), ("i30", "live"), ("i31", "blocked"), ("i32", "live"),
    ]  # fmt: skip
    assert [one.id for one in list_catalog(folder, search="i59").shown] == ["i59"]
    assert list_catalog(folder, search="no such thing").shown == []
    assert listing.distinct_codes == len(set(codes_of(folder).values()))


def test_a_damaged_bundle_is_not_listed(folder):
    (folder / bundle.ITEMS).write_bytes(b"")
    with pytest.raises(BundleError, match="has 0 bytes"):
        list_catalog(folder)
