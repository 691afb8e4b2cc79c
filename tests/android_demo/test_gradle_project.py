"""Gradle does not run here: what of its files can be checked without it."""

import re
import shutil
import statistics

import pytest

from android_demo.tools.compilers import BYTECODE, LANGUAGE
from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.packages import JUNIT
from android_demo.tools.project import ROOT, Project
from android_demo.tools.settings import APP_BUILD, CATALOGUE, read_catalogue, read_settings

BUILD_FILES = sorted(ROOT.glob("**/*.gradle.kts"))
MODULES = ("recommender", "app")
WRAPPER = ROOT / "gradle" / "wrapper" / "gradle-wrapper.properties"


def accessor(name):
    """Return how a build file spells a name of the catalogue."""
    return re.sub(r"[-_]", ".", name)


def test_build_files_use_names_of_the_catalogue_and_leave_none_unused():
    text = "\n".join(path.read_text() for path in BUILD_FILES)
    used = set(re.findall(r"\blibs\.([\w.]+)", text))
    catalogue = read_catalogue(Project())
    libraries = {accessor(name) for name in catalogue["libraries"]}
    plugins = {f"plugins.{accessor(name)}" for name in catalogue["plugins"]}
    read = {f"versions.{name}.get" for name in catalogue["versions"]}
    assert used <= libraries | plugins | {f"{name}" for name in used if name.removesuffix(".toInt") in read}
    referenced = {entry["version"]["ref"] for table in ("libraries", "plugins") for entry in catalogue[table].values()}
    named = {name.split(".")[1] for name in used if name.startswith("versions.")}
    assert libraries | plugins <= used
    assert set(catalogue["versions"]) == referenced | named


def test_modules_of_the_settings_are_there():
    included = re.findall(r'":(\w+)"', (ROOT / "settings.gradle.kts").read_text())
    assert tuple(included) == MODULES
    assert all((ROOT / name / "build.gradle.kts").is_file() for name in included)


def test_both_builds_compile_alike():
    assert LANGUAGE == "2.1"
    for name in MODULES:
        text = (ROOT / name / "build.gradle.kts").read_text()
        assert f"JvmTarget.JVM_{BYTECODE.replace('.', '_')}" in text
        assert text.count(f"KotlinVersion.KOTLIN_{LANGUAGE.replace('.', '_')}") == 2
    assert "explicitApi()" in (ROOT / "recommender" / "build.gradle.kts").read_text()


def test_both_builds_shrink_by_the_same_rules():
    text = (ROOT / APP_BUILD).read_text()
    assert "isMinifyEnabled = true" in text
    assert re.findall(r"proguardFiles\(([^)]*)\)", text) == ['"proguard-rules.pro"']
    rules = (ROOT / "recommender/src/main/resources/META-INF/proguard/recommender.pro").read_text()
    assert "-keep class ai.onnxruntime.** { *; }" in rules


def test_libraries_stay_uncompressed_in_gradles_package():
    major, minor, patch = map(int, read_catalogue(Project())["versions"]["agp"].split("."))
    assert (major, minor, patch) >= (8, 5, 1)  # the first that aligns them to 16 KB
    assert "useLegacyPackaging = false" in (ROOT / APP_BUILD).read_text()


def test_junit_is_the_same_in_both_builds():
    assert JUNIT.version.startswith(read_catalogue(Project())["versions"]["junit"])


def test_supported_phones_are_those_that_were_decided():
    settings = read_settings(Project())
    assert (settings.min_sdk, settings.target_sdk) == (24, 36)
    assert settings.abis == ("arm64-v8a", "armeabi-v7a", "x86_64")


def test_wrapper_is_pinned_by_hash():
    text = WRAPPER.read_text()
    assert re.search(r"^distributionUrl=https.+gradle-[\d.]+-bin\.zip$", text, re.MULTILINE)
    assert re.search(r"^distributionSha256Sum=[0-9a-f]{64}$", text, re.MULTILINE)


def test_value_that_is_not_found_is_named(tmp_path):
    for path in (CATALOGUE, APP_BUILD):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    text = (tmp_path / APP_BUILD).read_text()
    (tmp_path / APP_BUILD).write_text(text.replace("versionCode = 1", "versionCode = codes.next()"))
    with pytest.raises(AndroidBuildError, match="nothing like /versionCode"):
        read_settings(Project(tmp_path))


def test_kotlin_files_are_short():
    lines = [len(path.read_text().splitlines()) for path in ROOT.glob("*/src/main/kotlin/**/*.kt")]
    assert lines, "no Kotlin sources were found"
    assert max(lines) <= 300
    assert statistics.median(lines) <= 80
