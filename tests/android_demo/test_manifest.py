from xml.etree import ElementTree

import pytest

from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.manifest import merge_manifests
from android_demo.tools.settings import AppSettings

ANDROID = "{http://schemas.android.com/apk/res/android}"
HEAD = (
    '<manifest xmlns:android="http://schemas.android.com/apk/res/android" '
    'xmlns:tools="http://schemas.android.com/tools">'
)
SETTINGS = AppSettings("org.example", 7, "1.2", 24, 36, ("arm64-v8a",), "1.29.0")
LIBRARY = f"""{HEAD}<uses-sdk android:minSdkVersion="24"/>
<uses-permission android:name="android.permission.INTERNET"/>
<application><provider android:name="lib.Telemetry" android:authorities="${{applicationId}}.lib"/></application>
</manifest>"""


@pytest.fixture
def merge(tmp_path):
    def run(app, *libraries, debuggable=False):
        paths = [tmp_path / f"{number}.xml" for number in range(1 + len(libraries))]
        for path, text in zip(paths, (app, *libraries), strict=True):
            path.write_text(text)
        return ElementTree.fromstring(merge_manifests(paths[0], paths[1:], SETTINGS, debuggable=debuggable))

    return run


def app(inside="", attributes=""):
    return f"{HEAD}<application {attributes}>{inside}</application></manifest>"


def test_values_of_gradle_are_filled_in(merge):
    merged = merge(app())
    assert merged.get("package") == "org.example"
    assert merged.get(f"{ANDROID}versionCode") == "7"
    assert merged.find("uses-sdk").attrib == {f"{ANDROID}minSdkVersion": "24", f"{ANDROID}targetSdkVersion": "36"}
    assert merged.find("application").get(f"{ANDROID}extractNativeLibs") == "false"
    assert merged.find("application").get(f"{ANDROID}debuggable") is None


def test_debug_build_is_debuggable(merge):
    assert merge(app(), debuggable=True).find("application").get(f"{ANDROID}debuggable") == "true"


def test_library_adds_its_nodes_with_the_apps_name_in_them(merge):
    merged = merge(app(), LIBRARY)
    assert merged.find("application/provider").get(f"{ANDROID}authorities") == "org.example.lib"
    assert merged.find("uses-permission").get(f"{ANDROID}name") == "android.permission.INTERNET"


def test_removed_nodes_of_a_library_do_not_come_in(merge):
    inside = '<provider android:name="lib.Telemetry" android:authorities="x" tools:node="remove"/>'
    text = app(inside).replace(
        "<application", '<uses-permission android:name="android.permission.INTERNET" tools:node="remove"/><application'
    )
    merged = merge(text, LIBRARY)
    assert merged.find("application/provider") is None
    assert merged.find("uses-permission") is None


def test_attributes_for_tools_are_stripped(merge):
    merged = merge(app('<activity android:name=".A" tools:ignore="X"/>', 'tools:targetApi="34"'))
    assert not [name for node in merged.iter() for name in node.attrib if "schemas.android.com/tools" in name]
    assert merged.find("application/activity") is not None


def test_instruction_that_is_not_carried_out_is_refused(merge):
    with pytest.raises(AndroidBuildError, match="tools:replace='android:label'"):
        merge(app(attributes='tools:replace="android:label"'))


def test_library_for_newer_android_is_refused(merge):
    with pytest.raises(AndroidBuildError, match="needs Android API 26; the app's minSdk is 24"):
        merge(app(), LIBRARY.replace('minSdkVersion="24"', 'minSdkVersion="26"'))


def test_broken_manifest_is_named(merge):
    with pytest.raises(AndroidBuildError, match=r"0\.xml is no manifest"):
        merge("<manifest>")
