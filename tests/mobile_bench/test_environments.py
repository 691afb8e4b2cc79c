import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from mobile_bench import protocol
from mobile_bench.environments import (
    REQUIREMENTS,
    environments_folder,
    install,
    provider_state,
    python_for,
    remove,
)
from mobile_bench.errors import BenchError
from mobile_bench.host import measure
from mobile_bench.placement import CPU
from mobile_bench.protocol import Settings
from mobile_bench.provider_state import FOLDER_VARIABLE
from mobile_bench.worker_process import WorkerProcess
from odllm_artifact import write_json
from odllm_export.errors import BundleError

QUICK = Settings(
    min_seconds=0, min_calls=4, min_rounds=2, warm_loads=1, memory_calls=1, warm_up_calls=1, energy_seconds=0
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "providers"))
    return tmp_path / "providers"


@pytest.fixture
def environment(folder: Path) -> Path:
    """An environment that sees this one's packages, and whose onnxruntime therefore lacks the provider."""
    made = folder / "webgpu"
    venv.create(made, with_pip=False, symlinks=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(made), "platbase": str(made)})
    (Path(packages) / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    write_json(made / "odllm.json", {"requirements": REQUIREMENTS["webgpu"]})
    return made


def test_folder_is_the_users_cache_unless_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environments_folder() == folder
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert environments_folder() == tmp_path / "odllm" / "providers"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert environments_folder() == Path.home() / ".cache" / "odllm" / "providers"


def test_states_say_where_a_provider_is_to_be_had(environment: Path) -> None:
    assert provider_state("cpu").state == "installed"
    assert (provider_state("webgpu").state, provider_state("webgpu").where) == ("environment", str(environment))
    assert provider_state("qnn").where == "`odllm providers install qnn` makes an environment that has it"
    assert provider_state("nnapi").state == "elsewhere"
    assert python_for("cpu") == Path(sys.executable)
    assert python_for("webgpu") == environment / "bin" / "python"
    with pytest.raises(BenchError, match="'qnn' is not installed: `odllm providers install qnn`"):
        python_for("qnn")
    with pytest.raises(BundleError, match="provider 'warp' is not one of cpu"):
        provider_state("warp")


def test_environment_of_other_versions_counts_as_none(environment: Path) -> None:
    write_json(environment / "odllm.json", {"requirements": ["onnxruntime-webgpu==0.1"]})
    assert provider_state("webgpu").state == "installable"


def test_half_made_environment_counts_as_none(environment: Path) -> None:
    (environment / "odllm.json").unlink()
    assert provider_state("webgpu").state == "installable"


def test_what_no_package_has_is_not_installed() -> None:
    with pytest.raises(BenchError, match=r"'coreml' cannot be installed: .*iOS"):
        install("coreml")


def test_failed_installation_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(BenchError, match=r"environment of provider 'qnn' cannot be made.*package index"):
        install("qnn")
    assert not (folder / "qnn").exists()


def test_environment_is_kept_and_removed(environment: Path) -> None:
    assert install("webgpu") == environment
    remove("webgpu")
    assert not environment.exists()
    with pytest.raises(BenchError, match="has no environment"):
        remove("webgpu")


def test_our_code_runs_in_another_environment(environment: Path, golden_bundle: Path) -> None:
    with WorkerProcess("cell", python=environment / "bin" / "python") as worker:
        opening = protocol.Inspect(str(golden_bundle), "cpu", 1, [[0]], [protocol.Question([3])])
        reply = worker.ask(opening, protocol.InspectReply, timeout_s=60)
    assert {provider for *_, provider in reply.nodes} == {CPU}
    assert reply.answers[0].items == [0, 1, 2, 3, 4]


def test_cell_that_fails_is_told_and_the_others_are_measured(environment: Path, bundle: Path) -> None:
    results = measure([bundle], providers=["webgpu", "cpu"], settings=QUICK)
    (record,), (failure,) = results.records, results.failures
    assert record.execution.provider == "cpu"
    assert record.validity.reasons == [] or record.time_to_top_k is not None
    assert (failure.bundle, failure.provider, failure.threads) == ("tiny", "webgpu", 1)
    assert "the installed onnxruntime has no WebGpuExecutionProvider" in failure.reason
    assert "\n" not in failure.reason
