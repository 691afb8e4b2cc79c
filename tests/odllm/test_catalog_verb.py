import json

import pytest

from lcrec.catalog import read_catalog
from odllm_artifact import read_json, sha256_folder
from odllm_export.bundle import read_items


def listed(odllm, bundle, *options):
    code, out, _ = odllm("catalog", "list", bundle, "--json", *options)
    assert code == 0
    return json.loads(out)


def test_help_names_the_operations(odllm):
    code, out, _ = odllm("catalog", "--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in ("list", "add", "remove", "block", "unblock"))


def test_list_prints_items_with_codes_and_counts(odllm, bundle):
    code, out, _ = odllm("catalog", "list", bundle, "--search", "toy story", "--limit", 1)
    assert code == 0
    assert "1 of 3 items" in out
    assert "Toy Story (1995)" in out
    assert "2,078 items, 2,078 live, 0 blocked" in out


def test_list_as_json_has_codes_and_state(odllm, bundle):
    listing = listed(odllm, bundle, "--limit", 3)
    assert [one["id"] for one in listing["shown"]] == [item["id"] for item in read_items(bundle)[:3]]
    assert listing["shown"][0]["codes"] == read_catalog(bundle / "catalog.bin").codes[0].tolist()
    assert (listing["matching"], listing["shown"][0]["state"]) == (2078, "live")


def test_list_does_not_take_titles_for_markup(odllm, bundle):
    assert odllm("catalog", "add", bundle, "--id", "[b]", "--title", "[/red] dawn", "--like", "1")[0] == 0
    code, out, _ = odllm("catalog", "list", bundle, "--search", "[b]")
    assert code == 0
    assert "[/red] dawn" in out


def test_a_blocked_item_is_listed_and_does_not_come_back(odllm, bundle):
    _, out, _ = odllm("recommend", bundle, "--history", "1,2", "--json")
    first = json.loads(out)["items"][0]["item_id"]
    code, _, err = odllm("catalog", "block", bundle, first, "1")
    assert code == 0
    assert "2 blocked; now 2,078 items, 2,076 live" in " ".join(err.split())
    assert {one["id"] for one in listed(odllm, bundle, "--blocked")["shown"]} == {first, "1"}
    code, out, _ = odllm("recommend", bundle, "--history", "1,2", "--json")
    assert code == 0
    assert first not in [item["item_id"] for item in json.loads(out)["items"]]
    assert odllm("catalog", "unblock", bundle, first, "1")[0] == 0
    assert listed(odllm, bundle, "--blocked")["shown"] == []


def test_add_says_whose_codes_an_item_got_and_how_near_the_title_is(odllm, bundle):
    code, _, err = odllm("catalog", "add", bundle, "--id", "new", "--title", "Toy Story 5 (2026)")
    assert code == 0
    assert "Toy Story" in err
    assert "nearness of the titles 0." in " ".join(err.split())
    (one,) = listed(odllm, bundle, "--search", "Toy Story 5")["shown"]
    code, _, _ = odllm("recommend", bundle, "--history", "new,1", "--json")
    assert (code, one["id"]) == (0, "new")


def test_add_takes_given_codes_and_prints_json(odllm, bundle, tmp_path):
    codes = read_catalog(bundle / "catalog.bin").codes[7].tolist()
    code, out, _ = odllm(
        "catalog", "add", bundle, "--id", "new", "--title", "New", "--codes", ",".join(map(str, codes)),
        "--out", tmp_path / "other", "--json",
    )  # fmt: skip
    assert code == 0
    result = json.loads(out)
    assert (result["folder"], result["items"], result["counts"]) == (str(tmp_path / "other"), 2079, {"added": 1})
    assert result["placed"][0]["codes"] == codes
    assert listed(odllm, bundle)["items"] == 2078


def test_add_reads_many_items_from_a_file(odllm, bundle, tmp_path):
    path = tmp_path / "new.jsonl"
    path.write_text("".join(json.dumps({"id": f"n{i}", "title": f"New {i}", "like": "1"}) + "\n" for i in range(30)))
    code, _, err = odllm("catalog", "add", bundle, "--file", path)
    assert code == 0
    assert "… and 10 more" in err
    assert listed(odllm, bundle)["items"] == 2108


def test_remove_takes_ids_from_the_line_and_from_a_file(odllm, bundle, tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("2\n3\n\n")
    code, out, _ = odllm("catalog", "remove", bundle, "1", "--file", path, "--json")
    assert code == 0
    assert json.loads(out)["counts"] == {"removed": 3}
    code, _, err = odllm("recommend", bundle, "--history", "1")
    assert code == 2
    assert "'1' is not in this bundle's 2075 items" in err
    assert read_json(bundle / "manifest.json")["provenance"]["catalog_edits"] == "removed 3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("remove", "{}"), "name at least one item"),
        (("add", "{}"), "either --id"),
        (("add", "{}", "--id", "a", "--file", "b"), "either --id"),
        (("add", "{}", "--file", "b", "--title", "T"), "belong to --id"),
        (("add", "{}", "--id", "a", "--codes", "1,x"), "--codes is '1,x'"),
        (("add", "{}", "--id", "a", "--title", "T", "--text", "x"), "--text has no meaning without --quantizer"),
        (("add", "{}", "--id", "a", "--like", "1", "--quantizer", "q"), "--quantizer has no meaning with"),
        (("add", "{}", "--file", "nowhere.jsonl"), "nowhere.jsonl"),
        (("remove", "{}", "--file", "nowhere.txt"), "nowhere.txt"),
        (("remove", "{}", "999999"), "'999999' is not in"),
        (("add", "{}", "--id", "1", "--title", "T", "--like", "2"), "'1' is there already"),
        (("add", "{}", "--id", "n", "--title", "T", "--codes", "1,2"), "the model speaks"),
        (("list", "{}", "--limit", "0"), "--limit"),
        (("list", "nowhere"), "nowhere is not a bundle"),
        (("block", "nowhere", "1"), "nowhere is not a bundle"),
        (("rename", "{}"), "No such command"),
    ],
)
def test_wrong_usage_ends_with_two_and_changes_nothing(odllm, bundle, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    before = sha256_folder(tmp_path)
    code, out, err = odllm("catalog", *(part.format(bundle) for part in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert sha256_folder(tmp_path) == before


def test_recommend_says_when_fewer_items_are_live_than_asked_for(odllm, bundle):
    ids = [item["id"] for item in read_items(bundle)]
    assert odllm("catalog", "remove", bundle, *ids[20:])[0] == 0
    assert odllm("catalog", "block", bundle, *ids[7:20])[0] == 0
    code, out, err = odllm("recommend", bundle, "--history", ids[15])
    assert code == 0
    assert "7 items: no more are live; 10 were asked for" in err
    code, out, _ = odllm("recommend", bundle, "--history", ids[0], "--json")
    result = json.loads(out)
    assert (len(result["items"]), result["top_k"]) == (6, 10)
