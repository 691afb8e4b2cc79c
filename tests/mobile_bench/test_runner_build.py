import shutil
import zipfile
from pathlib import Path

import pytest

from mobile_bench.errors import BenchError, DeviceError
from mobile_bench.phone.runner_build import FOLDER_VARIABLE, HEADERS_VARIABLE, SOURCES, build_kit, find_kit
from odllm_artifact import sha256_folder, write_json


@pytest.fixture(autouse=True)
def _no_ndk_and_no_kits(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "kits"))
    for name in ("ANDROID_NDK_HOME", "ANDROID_NDK_ROOT", "ANDROID_NDK", HEADERS_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def archive(tmp_path) -> Path:
    """An Android archive with one ABI; its header is none, so that nothing compiles with it."""
    path = tmp_path / "onnxruntime.aar"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("headers/onnxruntime_c_api.h", "#error this is no header\n")
        made.writestr("jni/arm64-v8a/libonnxruntime.so", "a library")
    return path


def test_missing_kit_is_told_with_the_command_that_builds_it() -> None:
    with pytest.raises(DeviceError, match="odllm phone build --abi arm64-v8a"):
        find_kit("arm64-v8a")


def test_kit_of_other_sources_is_not_taken(tmp_path) -> None:
    folder = tmp_path / "kits" / "host"
    folder.mkdir(parents=True)
    write_json(folder / "kit.json", {"sources_sha256": "0" * 64})
    with pytest.raises(DeviceError, match="from other sources than this version's"):
        find_kit("host")
    write_json(folder / "kit.json", {"sources_sha256": sha256_folder(SOURCES)})
    assert find_kit("host").runner == folder / "odllm-runner"


def test_android_needs_its_compiler_and_a_runtime(archive, tmp_path) -> None:
    with pytest.raises(BenchError, match=r"needs Android's NDK, and none is none: give --ndk"):
        build_kit("arm64-v8a", archive)
    with pytest.raises(BenchError, match="is none: give --ndk"):
        build_kit("arm64-v8a", archive, ndk=tmp_path)
    with pytest.raises(BenchError, match="give --runtime FILE"):
        build_kit("arm64-v8a")
    with pytest.raises(BenchError, match="no ABI 'mips'"):
        build_kit("mips", archive)


def test_header_must_be_somewhere(tmp_path) -> None:
    if Path("/usr/include/onnxruntime/onnxruntime_c_api.h").is_file():
        pytest.skip("this machine has ONNX Runtime's header")
    library = tmp_path / "libonnxruntime.so"
    library.write_bytes(b"a library")
    with pytest.raises(BenchError, match=r"onnxruntime_c_api\.h is needed: give --headers"):
        build_kit("host", library)


@pytest.mark.slow
def test_what_does_not_compile_is_told_and_leaves_nothing(archive, tmp_path) -> None:
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("cmake and a C++ compiler are needed")
    with pytest.raises(BenchError, match=r"cannot be built; cmake --build … said:(.|\n)*rror"):
        build_kit("host", archive)
    assert not (tmp_path / "kits" / "host").exists()
