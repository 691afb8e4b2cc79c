"""What is in the packages that the build makes, and what is not."""

import re
import shutil
import struct
import zipfile
import zlib

import pytest

from android_demo.tools import app_bundle, dexing, signing
from android_demo.tools.build import DEBUG_ABIS
from android_demo.tools.checks import make_check
from android_demo.tools.class_file import read_jar
from android_demo.tools.dex_file import package_classes, read_dex_classes
from android_demo.tools.errors import ToolError
from android_demo.tools.framework import framework_jar
from android_demo.tools.framework_check import untrue_signatures, unused_signatures
from android_demo.tools.java_platform import java_platform_jar
from android_demo.tools.modules import APP, RECOMMENDER, compile_module
from android_demo.tools.package_file import ALIGNMENT_BYTES, LIBRARY_ALIGNMENT_BYTES, content_places
from android_demo.tools.packages import RUNTIME
from android_demo.tools.resources import link_resources
from android_demo.tools.steps import Steps
from android_demo.tools.toolchain import aapt2, kotlin_standard_library, run_tool, runtime_classes

pytestmark = [pytest.mark.android, pytest.mark.timeout(900)]

PHONE_ABIS = ("arm64-v8a", "armeabi-v7a")
MOST_RUNTIME_BYTES = 12 * 1024**2
MOST_OTHER_BYTES = 1024**2
MOST_LIBRARY_DEX_BYTES = 150_000
LOAD = 1  # kind of a segment that is mapped


@pytest.fixture(scope="module")
def release(built, settings):
    return built.releases[settings.abis[0]]


def tree(package):
    """The manifest of an APK as aapt2 reads it out of the binary."""
    return run_tool([aapt2(), "dump", "xmltree", "--file", "AndroidManifest.xml", str(package)], "reading a manifest")


def compressed_bytes(package):
    """What each file takes in a download, where everything is deflated, by name."""
    with zipfile.ZipFile(package) as opened:
        return {name: len(zlib.compress(opened.read(name), 9)) for name in opened.namelist()}


def test_manifest_says_what_the_settings_say(built, settings):
    for package in built.packages:
        said = run_tool([aapt2(), "dump", "badging", str(package)], "reading an APK")
        assert f"package: name='{settings.application_id}' versionCode='{settings.version_code}'" in said
        assert f"versionName='{settings.version_name}'" in said
        assert f"minSdkVersion:'{settings.min_sdk}'" in said
        assert f"targetSdkVersion:'{settings.target_sdk}'" in said
        assert f"launchable-activity: name='{settings.application_id}." in said


def test_each_package_is_for_its_processors(built, settings):
    expected = {built.debug: set(DEBUG_ABIS)} | {path: {abi} for abi, path in built.releases.items()}
    assert set(built.releases) == set(settings.abis)
    for package, abis in expected.items():
        said = run_tool([aapt2(), "dump", "badging", str(package)], "reading an APK")
        line = next(line for line in said.splitlines() if line.startswith("native-code:"))
        assert set(re.findall(r"'([^']+)'", line)) == abis


def test_nothing_is_permitted_not_even_the_network(built):
    for package in built.packages:
        said = run_tool([aapt2(), "dump", "permissions", str(package)], "reading an APK")
        assert "uses-permission" not in said


def test_runtimes_telemetry_is_not_started_and_nothing_for_tools_is_left(built):
    for package in built.packages:
        said = tree(package)
        assert "E: activity" in said
        assert "TelemetryInitializer" not in said
        assert "E: provider" not in said
        assert "schemas.android.com/tools" not in said


def test_only_the_debug_build_lets_debuggers_in(built):
    assert ":debuggable(0x0101000f)=true" in tree(built.debug)
    assert not [path for path in built.releases.values() if "debuggable" in tree(path)]


def test_libraries_are_mapped_from_the_package(built):
    for package in built.packages:
        assert ":extractNativeLibs(0x010104ea)=false" in tree(package)
        places = content_places(package)
        with zipfile.ZipFile(package) as opened:
            libraries = {name for name in opened.namelist() if name.endswith(".so")}
        assert len(libraries) >= 2
        assert libraries <= set(places)
        assert not [name for name in libraries if places[name] % LIBRARY_ALIGNMENT_BYTES]
        assert not [name for name, place in places.items() if place % ALIGNMENT_BYTES]


def test_segments_of_64_bit_libraries_fit_pages_of_16_kilobytes(built):
    """Processors with 32 bits have pages of 4 KB, and no phone of theirs has others."""
    looked_at = 0
    for package in built.packages:
        with zipfile.ZipFile(package) as opened:
            for name in opened.namelist():
                content = opened.read(name) if re.match(r"lib/(arm64-v8a|x86_64)/", name) else b""
                for alignment in segment_alignments(content):
                    assert alignment % LIBRARY_ALIGNMENT_BYTES == 0
                    looked_at += 1
    assert looked_at > 0


def segment_alignments(content):
    """Alignments of the mapped segments of a 64-bit ELF file; of anything else none."""
    if not content.startswith(b"\x7fELF\x02"):
        return
    (table,), (size, count) = struct.unpack_from("<Q", content, 32), struct.unpack_from("<HH", content, 54)
    for number in range(count):
        if struct.unpack_from("<I", content, table + size * number)[0] == LOAD:
            yield struct.unpack_from("<Q", content, table + size * number + 48)[0]


def test_packages_are_signed_by_schemes_that_cover_the_whole_file(built, settings):
    for package in built.packages:
        said = signing.verify(package, settings)
        assert "(APK Signature Scheme v2): true" in said
        assert "(APK Signature Scheme v3): true" in said


@pytest.mark.parametrize("what", ["code", "appended", "unsigned"])
def test_package_that_was_changed_is_refused(release, settings, tmp_path, what):
    changed = tmp_path / "changed.apk"
    shutil.copy(release, changed)
    if what == "code":
        data = bytearray(changed.read_bytes())
        data[content_places(changed)["resources.arsc"]] ^= 1
        changed.write_bytes(data)
    elif what == "appended":
        with zipfile.ZipFile(changed, "a") as opened:
            opened.writestr("assets/added", "text")
    else:
        with zipfile.ZipFile(release) as opened, zipfile.ZipFile(changed, "w") as plain:
            plain.writestr("AndroidManifest.xml", opened.read("AndroidManifest.xml"))
    with pytest.raises(ToolError, match="DOES NOT VERIFY"):
        signing.verify(changed, settings)


def runtime_class_names():
    return {name for name in read_jar(runtime_classes()) if name.startswith("ai/onnxruntime/")}


def test_shrinking_keeps_the_classes_that_native_code_looks_up(release):
    names = runtime_class_names()
    assert len(names) > 60
    assert names <= package_classes(release)


def test_without_the_librarys_rules_such_classes_are_lost(project, steps, settings, tmp_path):
    """They travel inside of its jar, where R8 finds them: an app need not name them."""
    plain = tmp_path / "recommender.jar"
    with zipfile.ZipFile(compile_module(project, steps, RECOMMENDER)) as jar, zipfile.ZipFile(plain, "w") as without:
        rules = [name for name in jar.namelist() if name.startswith("META-INF/proguard/")]
        for name in set(jar.namelist()) - set(rules):
            without.writestr(name, jar.read(name))
    assert len(rules) == 1
    jars = [plain, compile_module(project, steps, APP)]
    resources = link_resources(project, steps, settings, debuggable=False)
    folder = dexing.dex_release(
        project, Steps(tmp_path, str), jars, framework_jar(project, steps), [resources.rules], settings
    )
    left = read_dex_classes((folder / "classes.dex").read_bytes(), "classes.dex")
    assert {"ai/onnxruntime/OnnxMap", "ai/onnxruntime/TensorInfo"} <= runtime_class_names() - set(left)


def test_release_has_other_names_than_the_sources(release, built):
    internal = "org/odllm/recommender/LoopEngine"
    assert internal in package_classes(built.debug)
    assert internal not in package_classes(release)
    assert internal.replace("/", ".") in built.mapping.read_text()


@pytest.mark.parametrize("abi", PHONE_ABIS)
def test_download_is_the_runtime_and_little_else(built, abi):
    sizes = compressed_bytes(built.releases[abi])
    runtime = sizes.pop(f"lib/{abi}/libonnxruntime.so")
    assert runtime <= MOST_RUNTIME_BYTES
    without_bundle = [size for name, size in sizes.items() if not name.startswith("assets/")]
    assert sum(without_bundle) <= MOST_OTHER_BYTES


def public_classes(module):
    """Names of what other modules can name: each says so, since the module is compiled with an explicit API."""
    for path in module.sources("main", "kotlin"):
        text = path.read_text()
        package = re.search(r"^package (\S+)", text, re.MULTILINE)[1]
        for name in re.findall(r"^public (?:\w+ )*?(?:class|object|interface) (\w+)", text, re.MULTILINE):
            yield f"{package}.{name}"


def test_our_library_is_small_in_an_app(project, steps, settings, tmp_path):
    """All that an app can call, the benchmark's worker too, shrunk as an app's release is."""
    names = list(public_classes(project.module(RECOMMENDER)))
    rules = tmp_path / "everything.pro"
    rules.write_text("".join(f"-keep class {name}, {name}$* {{ public protected *; }}\n" for name in names))
    program, seen = [compile_module(project, steps, RECOMMENDER)], [runtime_classes(), kotlin_standard_library()]
    folder = dexing.shrink(steps, "dex-recommender", program, seen, [rules], settings)
    kept = read_dex_classes((folder / "classes.dex").read_bytes(), "classes.dex")
    assert {name.replace(".", "/") for name in names} <= set(kept)
    assert len(names) > 30
    assert (folder / "classes.dex").stat().st_size <= MOST_LIBRARY_DEX_BYTES


def test_runtime_is_of_the_version_that_gradle_takes(built, settings):
    library = (RUNTIME.folder / "jni" / "x86_64" / "libonnxruntime.so").read_bytes()
    assert f"\0{settings.runtime_version}\0".encode() in library


def test_bundle_is_valid_and_has_every_processor(built, settings):
    said = app_bundle.validate(built.bundle)
    for abi in settings.abis:
        assert f"lib/{abi}/libonnxruntime.so" in said
    with zipfile.ZipFile(built.bundle) as opened:
        names = set(opened.namelist())
    assert {"BundleConfig.pb", "base/manifest/AndroidManifest.xml", "base/dex/classes.dex"} <= names


def test_damaged_bundle_is_refused(built, tmp_path):
    with zipfile.ZipFile(built.bundle) as opened, zipfile.ZipFile(tmp_path / "app.aab", "w") as damaged:
        damaged.writestr("BundleConfig.pb", opened.read("BundleConfig.pb"))
    with pytest.raises(ToolError, match="checking"):
        app_bundle.validate(tmp_path / "app.aab")


def test_frameworks_signatures_are_true_and_needed(project, steps):
    framework = read_jar(framework_jar(project, steps))
    assert untrue_signatures(make_check(project, steps), framework.values()) == []
    java = read_jar(java_platform_jar(steps))
    app = read_jar(compile_module(project, steps, APP))
    sources = [path.read_text() for path in project.module(APP).sources("main", "kotlin")]
    assert unused_signatures(framework, java, app, sources) == []
