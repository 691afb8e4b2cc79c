from pathlib import Path

import pytest

from mobile_bench import device_kind
from mobile_bench.device_kind import environment_of


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_kind, "has_gpu", lambda: False)
    monkeypatch.delenv("VK_ICD_FILENAMES", raising=False)


def test_providers_of_the_processor_run_on_the_host() -> None:
    assert [device_kind.device_kind(name) for name in ("cpu", "openvino", "xnnpack", "cuda")] == ["host"] * 4


def test_npu_is_emulated_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_kind.platform, "machine", lambda: "x86_64")
    assert device_kind.device_kind("qnn") == "emulated-htp"
    monkeypatch.setattr(device_kind.platform, "machine", lambda: "aarch64")
    assert device_kind.device_kind("qnn") == "host"


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_graphics_are_software() -> None:
    assert device_kind.device_kind("webgpu") == "software-gpu"


def test_with_another_driver_named_graphics_are_software(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_kind, "has_gpu", lambda: True)
    monkeypatch.delenv("VK_ICD_FILENAMES", raising=False)
    assert device_kind.device_kind("webgpu") == "host"
    monkeypatch.setenv("VK_ICD_FILENAMES", "swiftshader.json")
    assert device_kind.device_kind("webgpu") == "software-gpu"


@pytest.mark.usefixtures("no_gpu")
def test_a_browsers_driver_serves_where_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_kind, "_BROWSERS", (str(tmp_path / "absent"), str(tmp_path)))
    monkeypatch.setattr(device_kind.Path, "home", lambda: tmp_path)
    assert environment_of("webgpu") == {}
    (tmp_path / "vk_swiftshader_icd.json").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    assert environment_of("webgpu") == {
        "VK_ICD_FILENAMES": str(tmp_path / "vk_swiftshader_icd.json"),
        "LD_LIBRARY_PATH": f"{tmp_path}:/before",
    }
    assert environment_of("cpu") == {}
