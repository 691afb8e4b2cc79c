"""Forms as the exporter and the opener see them."""

import numpy as np
import pytest

from odllm_artifact import read_json, write_json
from odllm_export import bundle, engine
from odllm_export.engine import Options
from odllm_export.errors import BundleError, ExportError
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.runtime import Recommender
from odllm_export.verify import random_cases, verify_bundle


@pytest.fixture
def export_form(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()

    def export(form, **options):
        how = ExportOptions(num_beams=12, top_k=5, golden=2, form=form, **options)
        manifest = export_bundle(folder, make_dataset(), tmp_path / form, how)
        return tmp_path / form, folder, manifest

    return export


@pytest.mark.parametrize("form", ["loop", "unrolled", "steps"])
def test_every_form_answers_as_the_model_does(export_form, form):
    out, folder, manifest = export_form(form)
    assert {path.name for path in out.iterdir()} == {*manifest.files, bundle.MANIFEST}
    assert {*bundle.FORM_FILES[form]} < {*manifest.files}
    with Recommender.open(out) as recommender:
        assert verify_bundle(recommender, folder, random_cases(recommender, 6)).identical_lists == 6
        golden = read_json(out / bundle.GOLDEN)
        for case in golden["cases"]:
            found = recommender.recommend(case["history"], top_k=12, blocked=case["blocked"])
            assert [one.item_id for one in found] == case["items"]


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("form", ["unrolled", "steps"])
def test_every_family_in_every_form(make_model_folder, make_dataset, tmp_path, form, family):
    folder, _ = make_model_folder(family=family, num_hidden_layers=2)
    export_bundle(folder, make_dataset(), tmp_path / "bundle", ExportOptions(12, 5, golden=1, form=form))
    with Recommender.open(tmp_path / "bundle") as recommender:
        assert verify_bundle(recommender, folder, random_cases(recommender, 6)).identical_lists == 6


@pytest.mark.parametrize("form", ["unrolled", "steps"])
def test_exact_forms_take_half_precision_too(export_form, form):
    out, folder, _ = export_form(form, precision="fp16")
    with Recommender.open(out) as recommender:
        assert verify_bundle(recommender, folder, random_cases(recommender, 6)).mean_overlap > 0.9


@pytest.mark.parametrize("has_vnni", [True, False])
@pytest.mark.parametrize("precision", ["int8-dynamic", "int8-block32", "int4-block32"])
def test_unrolled_rounds_as_loop_does(export_form, monkeypatch, precision, has_vnni):
    monkeypatch.setattr(engine, "has_exact_products", lambda: has_vnni)
    loop, unrolled = (export_form(form, precision=precision)[0] for form in ("loop", "unrolled"))
    with Recommender.open(loop) as one, Recommender.open(unrolled) as other:
        for history, blocked in random_cases(one, 6):
            ours, theirs = one.recommend_rows(history, blocked), other.recommend_rows(history, blocked)
            assert ours[0].tolist() == theirs[0].tolist()
            np.testing.assert_allclose(ours[1], theirs[1], atol=1e-4)


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        ("tree", {}, "'tree' is not one of loop, unrolled, steps"),
        ("steps", {"precision": "int8-dynamic"}, "form steps has fp32, fp16, int8-qdq, int8-qdq16"),
        ("steps", {"precision": "int4-block32"}, "form steps has fp32"),
        ("loop", {"precision": "int8-qdq"}, "the form is loop"),
        ("unrolled", {"precision": "int8-qdq16"}, "the form is unrolled"),
        ("steps", {"chunk": 0}, "chunk is 0"),
        ("steps", {"calibration": 0}, "calibration 0"),
    ],
)
def test_choices_that_do_not_fit_are_refused(export_form, tmp_path, form, options, message):
    with pytest.raises(ExportError, match=message):
        export_form(form, **options)
    assert not (tmp_path / form).exists()


def test_a_form_from_the_future_is_refused(export_form):
    out, _, _ = export_form("loop")
    manifest = read_json(out / bundle.MANIFEST)
    manifest["graph"]["form"] = "spiral"
    write_json(out / bundle.MANIFEST, manifest)
    with pytest.raises(BundleError, match="form 'spiral'"):
        Recommender.open(out)


@pytest.mark.parametrize("name", [bundle.PREFILL, bundle.STEP, bundle.WEIGHTS])
def test_a_bundle_of_steps_needs_both_graphs(export_form, name):
    out, _, _ = export_form("steps")
    manifest = read_json(out / bundle.MANIFEST)
    del manifest["files"][name]
    write_json(out / bundle.MANIFEST, manifest)
    with pytest.raises(BundleError, match=name):
        Recommender.open(out)


def test_one_profile_holds_the_events_of_both_graphs(export_form, tmp_path):
    out, _, _ = export_form("steps")
    recommender = Recommender.open(out, Options(profile_prefix=str(tmp_path / "profile")))
    recommender.recommend_rows(np.array([1, 2]))
    events = read_json(tmp_path / recommender.inference.end_profiling())
    names = [event["name"] for event in events]
    assert names.count("model_run") == 1  # the prompt fits a chunk
    assert names.count("step/model_run") == 2  # a step for every level but the first
    assert len(list(tmp_path.glob("profile*"))) == 1
