import json

import numpy as np
import pytest

from lcrec.errors import ItemCodesError
from lcrec.search import SearchResult
from odllm_artifact import read_json, sha256_file, sha256_folder, write_json
from odllm_export import bundle
from odllm_export.engine import Options
from odllm_export.errors import BundleError, ExportError, HistoryError, VerificationError
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.golden import sample_histories
from odllm_export.runtime import Recommender
from odllm_export.verify import dataset_cases, difference, random_cases, require_verified, verify_bundle


@pytest.fixture
def exported(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()
    out = tmp_path / "bundle"
    export_bundle(folder, make_dataset(), out, ExportOptions(num_beams=12, top_k=5))
    return out, folder


@pytest.fixture
def recommender(exported):
    return Recommender.open(exported[0])


def test_a_bundle_names_every_file_by_hash_and_nothing_else_lies_there(exported):
    out, _ = exported
    manifest = bundle.read_manifest(out)
    assert {path.name for path in out.iterdir()} == {*manifest.files, bundle.MANIFEST}
    bundle.check_files(out, manifest)
    assert bundle.bundle_bytes(out, manifest) == sum(path.stat().st_size for path in out.iterdir())


def test_the_same_model_gives_the_same_bytes(exported, make_dataset, tmp_path):
    out, folder = exported
    export_bundle(folder, make_dataset(), tmp_path / "again", ExportOptions(num_beams=12, top_k=5))
    assert sha256_folder(out) == sha256_folder(tmp_path / "again")


def test_golden_lists_come_back(exported, recommender):
    golden = read_json(exported[0] / bundle.GOLDEN)
    for case in golden["cases"]:
        found = recommender.recommend(case["history"], top_k=12, blocked=case["blocked"])
        assert [one.item_id for one in found] == case["items"]
        scores = [one.score for one in found]
        np.testing.assert_allclose(scores, case["scores"], atol=golden["score_tolerance"])


def test_recommend_returns_titles_and_leaves_out_blocked_items(recommender):
    found = recommender.recommend(["i3", "i4"], blocked={"i3", "i9"})
    assert len(found) == 5
    assert found[0].title == f"Item number {found[0].item_id[1:]}"
    assert not {"i3", "i9"} & {one.item_id for one in found}
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_a_long_history_counts_only_its_last_items(recommender):
    tail = ["i1", "i2", "i3", "i4", "i5"]
    assert recommender.recommend(["i9"] * 30 + tail) == recommender.recommend(tail)


@pytest.mark.parametrize(
    ("history", "options", "message"),
    [
        ([], {}, "history is empty"),
        (["i1", "nobody"], {}, "'nobody' is not in"),
        (["i1x"], {}, "Did you mean"),
        (["i1"], {"blocked": {"who"}}, "'who' is not in"),
        (["i1"], {"top_k": 0}, "top_k is 0"),
        (["i1"], {"top_k": 13}, "12 beams"),
    ],
)
def test_questions_that_cannot_be_answered(recommender, history, options, message):
    with pytest.raises(HistoryError, match=message):
        recommender.recommend(history, **options)


def test_verification_passes_for_the_model_and_on_all_kinds_of_histories(recommender, exported, make_dataset):
    cases = dataset_cases(recommender, make_dataset(), 20) + random_cases(recommender, 20)
    found = verify_bundle(recommender, exported[1], cases)
    assert found.identical_lists == found.histories == 40
    assert found.max_score_difference <= found.tolerance
    require_verified(found)


def test_verification_names_the_first_difference(recommender, exported):
    recommender.manifest = recommender.manifest.__class__(
        **{f: getattr(recommender.manifest, f) for f in recommender.manifest.__struct_fields__}
        | {"search": bundle.SearchFacts(12, 5, "trie", "vocab", 24)}
    )
    found = verify_bundle(recommender, exported[1], random_cases(recommender, 3))
    assert found.identical_lists == 0
    with pytest.raises(VerificationError, match=r"3 of 3 lists differ.*score") as caught:
        require_verified(found)
    assert caught.value.exit_code == 3


def a_result(rows, scores, margin=1.0):
    rows, scores = np.array(rows), np.array(scores, np.float32)
    return SearchResult(rows, scores, np.zeros((len(rows), 1), int), scores, np.ones(len(rows), bool), margin)


@pytest.mark.parametrize(
    ("rows", "scores", "margin", "message"),
    [
        ([4, 7, 9], [-1.0, -2.0, -3.0], 1.0, None),
        ([4, 9, 7], [-1.0, -2.0, -3.0], 1.0, "item row"),
        ([4, 7], [-1.0, -2.0], 1.0, "2 items instead of 3"),
        ([4, 7, 8], [-1.0, -2.0, -3.0], 1.0, None),  # level with the end: a tie with what was cut off
        ([4, 7, 8], [-1.0, -2.0, -2.5], 1.0, "at position 3"),
        ([4, 7, 8], [-1.0, -2.0, -2.5], 1e-6, None),  # the search met a tie at its edge
        ([4, 7, 8], [-1.0, -2.2, -2.5], 1e-6, "item row 7"),  # which excuses no wrong score
    ],
)
def test_what_counts_as_a_difference(rows, scores, margin, message):
    expected = a_result([4, 7, 9], [-1.0, -2.0, -3.0], margin)
    found = difference(np.array(rows), np.array(scores, np.float32), expected)
    assert (found is None) == (message is None)
    assert message is None or message in found


def test_verification_refuses_another_model(recommender, make_model_folder):
    other, _ = make_model_folder(name="other", seed=1)
    with pytest.raises(VerificationError, match="exported from a checkpoint"):
        verify_bundle(recommender, other, random_cases(recommender, 1))


def test_sampled_histories_are_real_and_repeatable(make_dataset):
    data = make_dataset()
    histories = [h.tolist() for h, _ in sample_histories(data, 5)]
    assert histories == [h.tolist() for h, _ in sample_histories(data, 5)]
    assert all(h in [t.tolist() for t in data.split().test_history] for h in histories)


@pytest.mark.parametrize(
    "name", [bundle.GRAPH, bundle.WEIGHTS, bundle.CATALOG, bundle.ITEMS, bundle.GOLDEN, bundle.MODEL_CARD]
)
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_every_damaged_file_is_refused_and_named(exported, name, damage):
    path = exported[0] / name
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[:-1])
    else:
        path.unlink()
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        Recommender.open(exported[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 3}, "schema version 3"),
        ({"search": {"num_beams": 3}}, "damaged"),
        ({"surprise": 1}, "damaged"),
        ({"expected_peak_memory_bytes": 1 << 60}, "Close other programs"),
        ({"items": 61}, "item table"),
        ({"files": {}}, "does not name"),
    ],
)
def test_manifests_that_do_not_fit_are_refused(exported, change, message):
    path = exported[0] / bundle.MANIFEST
    write_json(path, read_json(path) | change)
    with pytest.raises(BundleError, match=message):
        Recommender.open(exported[0])


def test_a_runtime_that_is_too_old_is_refused(exported, monkeypatch):
    monkeypatch.setattr("onnxruntime.__version__", "1.9.2")
    with pytest.raises(BundleError, match=r"needs onnxruntime 1\.24 or later; 1\.9\.2"):
        Recommender.open(exported[0])


def test_a_graph_that_the_runtime_cannot_read_is_words(exported):
    out, _ = exported
    (out / bundle.GRAPH).write_bytes(b"no graph at all")
    manifest = read_json(out / bundle.MANIFEST)
    manifest["files"][bundle.GRAPH] = {"bytes": 15, "sha256": sha256_file(out / bundle.GRAPH)}
    write_json(out / bundle.MANIFEST, manifest)
    with pytest.raises(BundleError, match="cannot open"):
        Recommender.open(out)


def test_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        Recommender.open(tmp_path)


def test_an_unknown_provider_is_refused_rather_than_run_on_the_cpu(exported):
    with pytest.raises(BundleError, match="not one of cpu"):
        Recommender.open(exported[0], Options(provider="npu"))
    with pytest.raises(BundleError, match="would silently run on the CPU"):
        Recommender.open(exported[0], Options(provider="nnapi"))


def test_a_bundle_moved_elsewhere_still_opens(exported, tmp_path):
    moved = tmp_path / "some where else"
    exported[0].rename(moved)
    assert Recommender.open(moved).recommend(["i1"])


def test_an_export_that_fails_leaves_nothing(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ItemCodesError, match="sizes"):
        export_bundle(folder, make_dataset(sizes=(4, 4, 5)), tmp_path / "bundle")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ExportError):
        export_bundle(folder, make_dataset(), tmp_path / "bundle")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_interrupted_overwrite_keeps_the_old_bundle(exported, make_dataset, monkeypatch):
    out, folder = exported
    before = sha256_folder(out)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("odllm_export.export.write_catalog", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_bundle(folder, make_dataset(), out, overwrite=True)
    assert sha256_folder(out) == before
    assert [path.name for path in out.parent.iterdir() if "writing" in path.name] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"top_k": 30}, "top_k is 30"), ({"scoring": "logits"}, "vocab, codes"), ({"num_beams": 0}, "num_beams 0")],
)
def test_options_that_make_no_sense_are_refused(make_model_folder, make_dataset, tmp_path, options, message):
    folder, _ = make_model_folder()
    with pytest.raises(ExportError, match=message):
        export_bundle(folder, make_dataset(), tmp_path / "bundle", ExportOptions(**options))


def test_the_model_card_says_what_was_measured(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()
    quality = {f"{name}@{k}": 0.125 for name in ("hit_rate", "ndcg") for k in (1, 5, 10)}
    write_json(folder / "evaluation.json", quality | {"users": 12, "split": "test"})
    export_bundle(folder, make_dataset(), tmp_path / "bundle")
    card = (tmp_path / "bundle" / bundle.MODEL_CARD).read_text()
    assert "ndcg@10: 0.1250" in card
    assert "12 users" in card


def test_items_with_any_title_survive_the_table(make_model_folder, make_dataset, tmp_path):
    from dataclasses import replace

    data = make_dataset()
    odd = (replace(data.items[0], title='Amélie "the film"\t<b>& 日本 \u2028 end'), *data.items[1:])
    folder, _ = make_model_folder()
    export_bundle(folder, replace(data, items=odd), tmp_path / "bundle")
    assert bundle.read_items(tmp_path / "bundle")[0]["title"] == odd[0].title
    lines = (tmp_path / "bundle" / bundle.ITEMS).read_text(encoding="utf-8").split("\n")
    assert len([json.loads(line) for line in lines if line]) == 60
