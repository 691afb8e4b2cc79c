import sys
from pathlib import Path

import pytest

from odllm_export.engine import Options
from odllm_export.errors import BundleError
from odllm_export.providers import PROVIDERS, find_provider, is_installed
from odllm_export.runtime import Recommender


def test_every_provider_is_found_by_its_name() -> None:
    assert find_provider("cpu").runtime_name == "CPUExecutionProvider"
    assert all(found.runtime_name.endswith("ExecutionProvider") for found in PROVIDERS.values())
    with pytest.raises(BundleError, match="provider 'npu' is not one of cpu, xnnpack"):
        find_provider("npu")


def test_what_the_runtime_lacks_is_not_installed() -> None:
    assert is_installed("cpu")
    assert not is_installed("nnapi")


@pytest.mark.parametrize(("name", "where"), [("openvino", "odllm providers install openvino"), ("xnnpack", "phones")])
def test_provider_that_is_not_there_is_never_the_cpu_in_silence(bundle: Path, name: str, where: str) -> None:
    with pytest.raises(BundleError, match=f"would silently run on the CPU instead: .*{where}"):
        Recommender.open(bundle, Options(provider=name))


@pytest.mark.parametrize("name", ["wasm", "webgpu-browser"])
def test_what_only_pages_have_is_not_this_processs(bundle: Path, name: str) -> None:
    assert not is_installed(name)
    with pytest.raises(BundleError, match=f"provider '{name}' is not this process's: only pages have it"):
        Recommender.open(bundle, Options(provider=name))


def test_plugin_whose_library_cannot_be_loaded_is_told(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "libnothing.so"
    (tmp_path / "onnxruntime_ep_webgpu.py").write_text(f"def get_library_path():\n    return {str(library)!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_webgpu", None)  # so that it leaves no trace for other tests
    del sys.modules["onnxruntime_ep_webgpu"]
    assert is_installed("webgpu")
    with pytest.raises(BundleError, match=r"cannot open .*recommend\.onnx: .*libnothing"):
        Recommender.open(bundle, Options(provider="webgpu"))
