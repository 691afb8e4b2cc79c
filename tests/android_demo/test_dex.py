"""The dex files that phones get, run on this machine's JVM with the Android build of ONNX Runtime."""

import dex_on_jvm
import msgspec
import pytest

from mobile_bench import protocol
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.runtime import Recommender

BEAMS = 12
FORMS = ("loop", "unrolled", "steps")
QUESTIONS = [protocol.Question([3, 7, 1]), protocol.Question([5], [0, 2]), protocol.Question(list(range(12)))]
RESULT_OK, RESULT_CANCELED = -1, 0  # of android.app.Activity

pytestmark = [pytest.mark.android, pytest.mark.timeout(900)]


@pytest.fixture
def bundle_folder(make_model_folder, make_dataset, tmp_path):
    model, _ = make_model_folder()
    for form in FORMS:
        options = ExportOptions(num_beams=BEAMS, top_k=5, form=form, golden=4)
        export_bundle(model, make_dataset(), tmp_path / "bundles" / form, options)
    return tmp_path / "bundles"


def ask(package, steps, requests, folder):
    """Return what the app's instrumentation answers to requests about bundles."""
    folder.mkdir()
    (folder / "requests").write_bytes(b"".join(msgspec.json.encode(request) + b"\n" for request in requests))
    arguments = {"requests": str(folder / "requests"), "answers": str(folder / "answers")}
    ended = dex_on_jvm.run_instrumentation(package, steps, arguments, folder)
    assert ended.returncode == 0, ended.stderr
    assert f"status {RESULT_OK} {{current=1, numtests={len(requests)}" in ended.stdout
    assert f"finished {RESULT_OK}" in ended.stdout, ended.stdout
    replies = [msgspec.json.decode(line) for line in (folder / "answers").read_bytes().splitlines()]
    assert [reply for reply in replies if "reply" not in reply] == []
    return [msgspec.convert(reply["reply"], protocol.InspectReply).answers for reply in replies]


@pytest.mark.parametrize("kind", ["debug", "release"])
def test_code_of_an_apk_recommends_what_python_recommends(built, steps, settings, bundle_folder, tmp_path, kind):
    package = built.debug if kind == "debug" else built.releases[settings.abis[0]]
    requests = [protocol.Inspect(str(bundle_folder / form), "cpu", 1, [[0]], questions=QUESTIONS) for form in FORMS]
    answers = ask(package, steps, requests, tmp_path / "app")
    for form, found in zip(FORMS, answers, strict=True):
        with Recommender.open(bundle_folder / form) as python:
            ids = [item["id"] for item in python.items]
            for question, ranked in zip(QUESTIONS, found, strict=True):
                history, blocked = ([ids[row] for row in rows] for rows in (question.history, question.blocked))
                expected = python.recommend(history, top_k=BEAMS, blocked=blocked)
                assert [ids[row] for row in ranked.items] == [one.item_id for one in expected]
                assert ranked.scores == pytest.approx([one.score for one in expected], abs=1e-4)


def test_refused_arguments_end_the_instrumentation_with_words(built, steps, settings, tmp_path):
    ended = dex_on_jvm.run_instrumentation(built.releases[settings.abis[0]], steps, {}, tmp_path)
    assert (ended.returncode, ended.stdout.split()[:2]) == (0, ["finished", str(RESULT_CANCELED)])
