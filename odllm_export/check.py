"""Is a bundle usable on a phone? What documentation lets expect, provider by provider, and the memory it should take.

Nothing is run here. What a run takes is measured by whoever asks (`odllm check`), beside the estimate.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import onnx

from lcrec.catalog import read_catalog
from odllm_export.bundle import CATALOG, GRAPH, check_files, read_manifest
from odllm_export.expectation import Expectation, expectations
from odllm_export.memory_estimate import MemoryEstimate, estimate_memory
from odllm_export.mobile_checker import MobileVerdict, mobile_verdict

EXPECTATION = "expectation from documentation, not a measurement; `odllm bench --provider` is the verdict"
"""What must stand beside every number of an `Expectation`."""


class Check(msgspec.Struct, frozen=True):
    """What can be said of a bundle without running it.

    Attributes:
        bundle: name of the folder.
        precision: of its weights.
        basis: what the expectations rest on.
        expectations: one a provider.
        mobile_checker: the verdict of ONNX Runtime's own tool.
        memory: the estimate in parts.
        load_bytes: peak while it is opened, estimated.
        run_bytes: peak while it answers, estimated.
        expected_peak_memory_bytes: what the manifest says, and an app compares with the memory that is free.
    """

    bundle: str
    precision: str
    basis: str
    expectations: list[Expectation]
    mobile_checker: MobileVerdict
    memory: MemoryEstimate
    load_bytes: int
    run_bytes: int
    expected_peak_memory_bytes: int


def check_bundle(folder: Path) -> Check:
    """Return what documentation and the manifest say about a bundle.

    Raises:
        BundleError: no bundle, or a damaged one.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    model = onnx.load(folder / GRAPH, load_external_data=False)
    memory = estimate_memory(manifest, read_catalog(folder / CATALOG))
    return Check(
        bundle=folder.name,
        precision=manifest.model.precision,
        basis=EXPECTATION,
        expectations=expectations(model),
        mobile_checker=mobile_verdict(model),
        memory=memory,
        load_bytes=memory.load,
        run_bytes=memory.run,
        expected_peak_memory_bytes=manifest.expected_peak_memory_bytes,
    )
