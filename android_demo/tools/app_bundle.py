"""The app bundle (AAB) for stores, which make an APK a phone of it.

Source: developer.android.com, "About Android App Bundles": the module's folders manifest, res, assets, dex, lib.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from android_demo.tools.package_file import Entry, entries_of, write_package
from android_demo.tools.resources import Resources
from android_demo.tools.toolchain import android_jar, run_java

_BUNDLETOOL = "com.android.tools.build.bundletool.BundleToolMain"
_MANIFEST = "AndroidManifest.xml"
_LIBRARIES = {"enabled": True, "alignment": "PAGE_ALIGNMENT_16K"}
_CONFIGURATION = json.dumps({"optimizations": {"uncompressNativeLibraries": _LIBRARIES}})


def write_bundle(
    bundle: Path, resources: Resources, dex: Sequence[Path], libraries: Iterable[Entry], scratch: Path
) -> None:
    """Write an app bundle and have bundletool check it.

    Args:
        bundle: the file to write.
        resources: linked for a bundle.
        dex: files `classes.dex` and so on.
        libraries: the APK's entries `lib/…`.
        scratch: a folder for what bundletool reads.

    Raises:
        ToolError: bundletool refuses something.
    """
    module, configuration = scratch / "base.zip", scratch / "configuration.json"
    entries = [Entry(_place(entry.name), entry.content) for entry in entries_of(resources.package)]
    entries += [Entry(f"dex/{path.name}", path.read_bytes()) for path in dex]
    write_package(module, [*entries, *libraries])
    configuration.write_text(_CONFIGURATION)
    words = ["build-bundle", f"--modules={module}", f"--config={configuration}", f"--output={bundle}"]
    run_java([android_jar("bundletool")], _BUNDLETOOL, words, f"building {bundle.name}")
    validate(bundle)


def validate(bundle: Path) -> str:
    """Check an app bundle and return what bundletool says of it.

    Raises:
        ToolError: it is not valid.
    """
    words = ["validate", f"--bundle={bundle}"]
    return run_java([android_jar("bundletool")], _BUNDLETOOL, words, f"checking {bundle.name}")


def _place(name: str) -> str:
    """Return where a module has an entry of the resources' package."""
    return f"manifest/{name}" if name == _MANIFEST else name
