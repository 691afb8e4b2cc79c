import json
from pathlib import Path

import pytest

from mobile_bench import plan
from mobile_bench.errors import BenchError
from mobile_bench.plan import read_plan, run_plan
from mobile_bench.results import read_results
from mobile_bench.verdict import compare_with_first

QUICK = "{min_seconds: 0, min_calls: 4, min_rounds: 2, warm_loads: 1, memory_calls: 1, warm_up_calls: 1}"


@pytest.fixture
def written(bundle: Path, golden_bundle: Path, tmp_path: Path) -> Path:
    (tmp_path / "tiny").symlink_to(bundle)
    path = tmp_path / "plan.yaml"
    path.write_text(
        f"settings: {QUICK}\n"
        "groups:\n"
        f"- {{name: both, bundles: [tiny, {golden_bundle}], threads: [1]}}\n"
        "- {name: providers, bundles: [tiny, absent], providers: [cpu, nnapi]}\n"
    )
    return path


def test_groups_are_runs_of_their_own_and_what_cannot_be_measured_is_told(written: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "records.json"
    results = run_plan(written, out)
    assert read_results(out) == results
    assert not out.with_name("records.json.partial").exists()
    assert [record.bundle.name for record in results.records] == ["tiny", "golden", "tiny"]
    runs = [record.run for record in results.records]
    assert runs[0] == runs[1] != runs[2]
    assert [one.one for one in compare_with_first(results)] == ["golden · cpu · 1 thread"]
    assert [(one.bundle, one.provider) for one in results.failures] == [
        ("tiny", "nnapi"),
        ("absent", "cpu"),
        ("absent", "nnapi"),
    ]
    assert "phones have it" in results.failures[0].reason
    assert results.failures[1].reason.startswith("absent is not a bundle")


def test_an_interrupted_plan_goes_on_with_the_next_group(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, measured = tmp_path / "records.json", plan.measure_cells
    asked: list[int] = []

    def interrupted(cells, *rest):  # type: ignore[no-untyped-def]
        asked.append(len(cells))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return measured(cells, *rest)

    monkeypatch.setattr(plan, "measure_cells", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_plan(written, out)
    assert not out.exists()
    (kept,) = out.with_name("records.json.partial").glob("*.json")
    first = read_results(kept).records
    results = run_plan(written, out)
    assert asked == [2, 1, 1]
    assert results.records[:2] == first


def test_progress_covers_the_whole_plan(written: Path, tmp_path: Path) -> None:
    seen: list[tuple[float, float, str]] = []
    run_plan(written, tmp_path / "r.json", progress=lambda done, total, note="": seen.append((done, total, note)))
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert (seen[-1][0], seen[-1][1]) == (2, 2)
    assert {note.split(":")[0] for _, _, note in seen} == {"both", "providers"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("groups: [", "no plan"),
        ("groups: []", "no groups"),
        ("groups: [{name: a, bundles: [b], beams: 3}]", r"unknown field `beams`.*groups\[0\]"),
        ("groups: [{name: a}]", "missing required field `bundles`"),
        ("groups: [{name: a, bundles: [b], threads: [one]}]", r"Expected `int`"),
        ("groups: [{name: a, bundles: [b]}, {name: a, bundles: [c]}]", "two groups of one name"),
        ("settings: {min_calls: 0}\ngroups: [{name: a, bundles: [b]}]", "min_calls is 0"),
    ],
)
def test_plans_that_say_something_else_are_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(BenchError, match=what):
        read_plan(tmp_path / "plan.yaml")


def test_a_plan_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"cannot read .*plan\.yaml"):
        read_plan(tmp_path / "plan.yaml")


def test_groups_are_known_by_what_decides_them(written: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(written.read_text().replace("min_calls: 4", "min_calls: 5"))
    keys = [
        [plan._prepare(group, tmp_path, None).key(read.settings) for group in read.groups]
        for read in (read_plan(written), read_plan(written), read_plan(other))
    ]
    assert keys[0] == keys[1]
    assert not set(keys[0]) & set(keys[2])
    assert json.dumps(keys)
