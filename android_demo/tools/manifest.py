"""The app's manifest as it goes into an APK: libraries' merged in, build values filled in, `tools:` carried out.

Source: developer.android.com, "Merge multiple manifest files". Only what this app and its libraries ask for is carried
out; any other instruction is refused by name.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from android_demo.tools.errors import AndroidBuildError
from android_demo.tools.settings import AppSettings

_ANDROID = "http://schemas.android.com/apk/res/android"
_TOOLS = "http://schemas.android.com/tools"
_NAME = f"{{{_ANDROID}}}name"
_NODE = f"{{{_TOOLS}}}node"
_ONLY_FOR_LINT = {f"{{{_TOOLS}}}{name}" for name in ("targetApi", "ignore")}
_MERGED = ("uses-permission", "uses-feature", "queries")
"""What a library's manifest may add outside of `application`."""


def merge_manifests(app: Path, libraries: Sequence[Path], settings: AppSettings, *, debuggable: bool) -> str:
    """Return the merged manifest as text.

    Args:
        app: the app's own manifest.
        libraries: manifests of Android archives.
        settings: what Gradle would fill in.
        debuggable: whether debuggers may attach.

    Raises:
        AndroidBuildError: a manifest is no XML, a library needs a newer Android, or an instruction is not known here.
    """
    ElementTree.register_namespace("android", _ANDROID)
    merged = _parse(app, settings)
    for library in libraries:
        _merge_library(merged, _parse(library, settings), library, settings)
    _carry_out_instructions(merged)
    merged.set("package", settings.application_id)
    merged.set(f"{{{_ANDROID}}}versionCode", str(settings.version_code))
    merged.set(f"{{{_ANDROID}}}versionName", settings.version_name)
    levels = {"minSdkVersion": settings.min_sdk, "targetSdkVersion": settings.target_sdk}
    uses_sdk = ElementTree.Element("uses-sdk", {f"{{{_ANDROID}}}{name}": str(level) for name, level in levels.items()})
    merged.insert(0, uses_sdk)
    application = _application(merged)
    application.set(f"{{{_ANDROID}}}extractNativeLibs", "false")  # as AGP does for uncompressed libraries
    if debuggable:
        application.set(f"{{{_ANDROID}}}debuggable", "true")
    return ElementTree.tostring(merged, encoding="unicode", xml_declaration=True)


def _parse(path: Path, settings: AppSettings) -> ElementTree.Element:
    try:
        text = path.read_text(encoding="utf-8").replace("${applicationId}", settings.application_id)
        return ElementTree.fromstring(text)
    except (OSError, ElementTree.ParseError) as error:
        raise AndroidBuildError(f"{path} is no manifest that can be read: {error}") from error


def _application(manifest: ElementTree.Element) -> ElementTree.Element:
    found = manifest.find("application")
    return ElementTree.SubElement(manifest, "application") if found is None else found


def _merge_library(app: ElementTree.Element, library: ElementTree.Element, path: Path, settings: AppSettings) -> None:
    uses_sdk = library.find("uses-sdk")
    least = int(uses_sdk.get(f"{{{_ANDROID}}}minSdkVersion", "1")) if uses_sdk is not None else 1
    if least > settings.min_sdk:
        raise AndroidBuildError(f"{path} needs Android API {least}; the app's minSdk is {settings.min_sdk}: raise it")
    application = _application(app)
    for node in _application(library):
        _add(application, node)
    for node in library:
        if node.tag in _MERGED:
            _add(app, node)


def _add(parent: ElementTree.Element, node: ElementTree.Element) -> None:
    """Add a library's node, unless the app has one of that name: its own word stands."""
    if not any(mine.tag == node.tag and mine.get(_NAME) == node.get(_NAME) for mine in parent):
        parent.append(copy.deepcopy(node))


def _carry_out_instructions(node: ElementTree.Element) -> None:
    """Remove nodes marked so, and every attribute that is only for tools."""
    for child in list(node):
        if child.get(_NODE) == "remove":
            node.remove(child)
        else:
            _carry_out_instructions(child)
    for name in list(node.attrib):
        if name in _ONLY_FOR_LINT or (name == _NODE and node.get(name) == "merge"):
            del node.attrib[name]
        elif name.startswith(f"{{{_TOOLS}}}"):
            raise AndroidBuildError(
                f"<{node.tag}> has tools:{name.rpartition('}')[2]}={node.get(name)!r}, which the build without an SDK "
                f"does not carry out: teach it in {Path(__file__).name}"
            )
