"""A bundle's graphs in the runtime: opened, checked against the manifest, ready to run."""

from __future__ import annotations

import functools
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from lcrec.catalog import Catalog
from odllm_export.bundle import FORM_FILES, ORT_GRAPH, Manifest
from odllm_export.errors import BundleError
from odllm_export.graph_contract import check_facts, check_inputs
from odllm_export.providers import open_session

RUNTIME_ERRORS = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NoSuchFile,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
    RuntimeError,
    UnicodeDecodeError,
)
"""What the runtime raises for a graph that it cannot open or run; they have no common root but Exception.

The last two where a provider fails, and where its message quotes a damaged name.
"""


_X86_64 = ("x86_64", "AMD64")


class Engine(Protocol):
    """What runs a call: the runtime's session of a whole recommender's graph, or what behaves like one."""

    def run_with_ort_values(
        self, outputs: Sequence[str], feed: Mapping[str, onnxruntime.OrtValue]
    ) -> list[onnxruntime.OrtValue]:
        """Return the named outputs."""

    def get_session_options(self) -> onnxruntime.SessionOptions:
        """Return what the graph was opened with."""

    def end_profiling(self) -> str:
        """End the profile and return its path."""


class Options(msgspec.Struct, frozen=True):
    """How a bundle is opened.

    Attributes:
        provider: a key of `odllm_export.providers.PROVIDERS`.
        threads: of the runtime's intra-op pool; they never spin while they wait.
        prepack: repack the weights at load: calls are faster, and the weights are in memory twice while it loads and
            no longer shared with the file. None: as the manifest says. False leaves them memory-mapped.
        arena: keep freed activations for the next call.
        check_memory: refuse a bundle that is larger than the memory that is free.
        profile_prefix: where the runtime writes its profile; none if empty.
        ort_format: open `recommend.ort`, which holds the weights inside, instead of the ONNX graph.
    """

    provider: str = "cpu"
    threads: int = 1
    prepack: bool | None = None
    arena: bool = True
    check_memory: bool = True
    profile_prefix: str = ""
    ort_format: bool = False


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return the options that a phone wants: a fixed number of threads that do not spin while they wait."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


@functools.cache
def has_exact_products() -> bool:
    """Return whether this processor multiplies uint8 and int8 without overflow: Arm ones, and x86-64 with VNNI.

    Where the system does not tell, it is taken not to.
    """
    if platform.machine() not in _X86_64:
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def check_runtime(needed: str, folder: Path) -> None:
    """Refuse a runtime that is too old, before it fails in the middle of the first call."""
    installed = onnxruntime.__version__
    if re.fullmatch(r"\d+\.\d+(\.\d+)?", needed) is None:
        raise BundleError(f"{folder} is damaged: its manifest asks for onnxruntime {needed!r}. Copy the bundle again.")
    if _version(installed) < _version(needed):
        raise BundleError(f"{folder} needs onnxruntime {needed} or later; {installed} is installed. Update it.")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


def open_engine(folder: Path, manifest: Manifest, catalog: Catalog, how: Options) -> Engine:
    """Open the graphs of a bundle whose files were checked.

    Raises:
        BundleError: a graph cannot be opened here, or is not the one that its manifest speaks of.
    """
    *graphs, _ = FORM_FILES[manifest.graph.form]
    if how.ort_format:
        if ORT_GRAPH not in manifest.files:
            raise BundleError(f"{folder} holds no {ORT_GRAPH}; export it with --ort-format")
        graphs = [ORT_GRAPH]
    sessions = [_open_inference(folder / graph, manifest, how) for graph in graphs]
    for session, graph in zip(sessions, graphs, strict=True):
        if manifest.graph.fixed is None:
            check_inputs(session, folder / graph)
        check_facts(session, manifest, folder / graph)
    if manifest.graph.fixed is None:
        (engine,) = sessions
        return engine
    from odllm_export.steps import StepsEngine

    prefill, step = sessions
    facts = manifest.prompt, manifest.search, manifest.graph, manifest.graph.fixed
    return StepsEngine(*facts, catalog, (prefill, step))


def _open_inference(graph: Path, manifest: Manifest, how: Options) -> onnxruntime.InferenceSession:
    options = session_options(how.threads)
    if manifest.graph.form != "unrolled" and not has_exact_products():
        # Sums in between overflow; this makes weights uint8, whose products are exact and half as fast. Where several
        # products share a matrix the runtime fails (`AddInitializedOrtValue: Attempt to replace the existing tensor`).
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 4  # what it would say of a damaged graph is in the error that it raises
    options.enable_cpu_mem_arena = how.arena
    if not (manifest.graph.prepack if how.prepack is None else how.prepack):
        options.add_session_config_entry("session.disable_prepacking", "1")
    if how.profile_prefix:
        options.enable_profiling = True
        options.profile_file_prefix = f"{how.profile_prefix}_{graph.stem}"
    try:
        return open_session(graph, options, how.provider)
    except RUNTIME_ERRORS as error:
        raise BundleError(f"onnxruntime {onnxruntime.__version__} cannot open {graph}: {error}") from error
