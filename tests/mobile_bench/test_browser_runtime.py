from pathlib import Path

import pytest

from mobile_bench.browser import runtime as browser_runtime
from mobile_bench.browser.protocol import Adapter, BrowserFacts, PageFacts
from mobile_bench.browser.runtime import CHROMIUM_VARIABLE, WASM_FILES, WEBGPU_FILES, browser_flags, runtime_folder
from mobile_bench.browser.target import kind_of
from mobile_bench.environments import install, provider_state, remove
from mobile_bench.errors import BenchError, DeviceError
from mobile_bench.host import measure
from mobile_bench.provider_state import FOLDER_VARIABLE


@pytest.fixture(autouse=True)
def no_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "providers"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(CHROMIUM_VARIABLE, raising=False)


def write_runtime() -> None:
    runtime_folder().mkdir(parents=True)
    for name in (*WASM_FILES, *WEBGPU_FILES):
        (runtime_folder() / name).touch()


def test_state_names_everything_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = provider_state("wasm")
    assert state.state == "installable"
    assert "odllm providers install wasm" in state.where
    assert "apt-get install chromium" in state.where
    write_runtime()
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install 'odllm[browser]'")
    (tmp_path / "browser").touch()
    monkeypatch.setenv(CHROMIUM_VARIABLE, str(tmp_path / "browser"))
    assert provider_state("webgpu-browser").state == "environment"
    remove("wasm")
    assert "install wasm" in provider_state("webgpu-browser").where


def test_measuring_without_a_browser_says_what_to_install(bundle: Path) -> None:
    with pytest.raises(BenchError, match=r"provider 'wasm' cannot be measured yet: .*install wasm.*install Chromium"):
        measure([bundle], providers=["wasm"])


def test_variable_that_names_no_browser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHROMIUM_VARIABLE, "/no/such/browser")
    with pytest.raises(BenchError, match=r"ODLLM_CHROMIUM is '/no/such/browser', which is no file"):
        provider_state("wasm")


def test_installing_without_npm_says_so() -> None:
    with pytest.raises(BenchError, match=r"comes from npm, which is not here: install Node\.js"):
        install("wasm")
    assert not runtime_folder().exists()


def test_npm_that_fails_is_quoted(tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'no such package' >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(BenchError, match=r"npm cannot fetch onnxruntime-web 1\.30\.0 and said 'no such package'"):
        install("wasm")


def test_other_archive_is_refused(tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho other > onnxruntime-web-1.30.0.tgz\n")
    npm.chmod(0o755)
    with pytest.raises(BenchError, match=r"onnxruntime-web-1\.30\.0\.tgz is not the archive that was tested"):
        install("wasm")
    assert not runtime_folder().exists()


@pytest.mark.parametrize(
    ("provider", "adapter", "kind"),
    [
        ("wasm", None, "browser"),
        ("wasm", Adapter("google swiftshader", software=True), "browser"),
        ("webgpu-browser", Adapter("google swiftshader", software=True), "software-gpu"),
        ("webgpu-browser", Adapter("arm valhall", software=False), "browser"),
    ],
)
def test_kind_of_device_is_what_computes(provider: str, adapter: Adapter | None, kind: str) -> None:
    assert kind_of(provider, facts(adapter)) == kind


def test_webgpu_without_an_adapter_is_no_measurement() -> None:
    with pytest.raises(DeviceError, match="Chromium 1 offers no graphics adapter"):
        kind_of("webgpu-browser", facts(None))


def facts(adapter: Adapter | None) -> BrowserFacts:
    return BrowserFacts("Chromium 1", PageFacts("agent", "Linux", 2, True, adapter))


def test_wasm_gets_no_graphics_and_webgpu_a_software_driver_where_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mobile_bench.browser.runtime.has_gpu", lambda: False)
    assert "--disable-gpu" in browser_flags("wasm")
    assert "--use-webgpu-adapter=swiftshader" in browser_flags("webgpu-browser")
    monkeypatch.setattr("mobile_bench.browser.runtime.has_gpu", lambda: True)
    assert "--use-webgpu-adapter=swiftshader" not in browser_flags("webgpu-browser")


def test_integrity_is_written_as_npms_lock_files_write_it() -> None:
    assert browser_runtime.INTEGRITY.startswith("sha512-")
    assert len(browser_runtime.INTEGRITY) == len("sha512-") + 88
