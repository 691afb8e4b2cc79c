"""The static site that runs a bundle in a browser: pages, runtime and bundle under one address."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from mobile_bench.browser.runtime import VERSION, WASM_FILES, WEBGPU_FILES, require_runtime
from mobile_bench.browser.server import INDEX, POLICY, Site
from odllm_artifact import write_folder
from odllm_export.bundle import MANIFEST, check_files, read_manifest

PAGES = Path(__file__).parent / "web"
"""Pages and modules that come with this package."""

_WORKER = "service-worker.js"
_FOR_PROGRAMS = ("bench.html", "bench.js")
_POLICY_MARK = "@POLICY@"


def bundle_site(bundle: Path) -> Site:
    """Return the site of a bundle, whose files are checked.

    Raises:
        BenchError: onnxruntime-web is not installed.
        odllm_export.errors.BundleError: the bundle is damaged.
    """
    manifest = read_manifest(bundle)
    check_files(bundle, manifest)
    site = Site(
        {"": PAGES, "runtime/": require_runtime(), "bundle/": bundle},
        {INDEX: (PAGES / INDEX).read_text(encoding="utf-8").replace(_POLICY_MARK, POLICY).encode()},
    )
    pages = [path.name for path in sorted(PAGES.iterdir()) if path.name not in (*_FOR_PROGRAMS, INDEX, _WORKER)]
    files = ["./", *pages, *_under("runtime/", WASM_FILES), *_under("bundle/", [MANIFEST, *manifest.files])]
    facts = {"version": _version(bundle), "files": files, "webgpu": _under("runtime/", WEBGPU_FILES)}
    script = (PAGES / _WORKER).read_text(encoding="utf-8")
    site.made[_WORKER] = f"const SITE = {json.dumps(facts, indent=2)};\n\n{script}".encode()
    return site


def write_site(bundle: Path, out: Path, *, overwrite: bool = False) -> None:
    """Write the site of a bundle as a folder that any web server can serve, whole or not at all.

    Raises:
        BenchError: onnxruntime-web is not installed.
        odllm_artifact.ArtifactError: the folder cannot be written.
        odllm_export.errors.BundleError: the bundle is damaged.
    """
    site = bundle_site(bundle)
    facts = read_manifest(bundle).files
    with write_folder(out, overwrite=overwrite) as staging:
        for under, folder in site.folders.items():
            (staging / under).mkdir(exist_ok=True)
            for path in folder.iterdir():
                wanted = path.name in (MANIFEST, *facts) if under == "bundle/" else path.name not in _FOR_PROGRAMS
                if path.is_file() and wanted:
                    shutil.copyfile(path, staging / under / path.name)
        for address, content in site.made.items():
            (staging / address).write_bytes(content)


def _under(folder: str, names: list[str] | tuple[str, ...]) -> list[str]:
    return [folder + name for name in names]


def _version(bundle: Path) -> str:
    """Return what changes with any file of the site: the manifest names the bundle's, the version the runtime's."""
    digest = hashlib.sha256(VERSION.encode() + (bundle / MANIFEST).read_bytes())
    for path in sorted(PAGES.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
