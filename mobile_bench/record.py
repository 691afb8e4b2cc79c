"""The record of one measured cell: one bundle, one provider, one number of threads, one device.

Whatever did the measuring (this host today; a phone or a browser later) reports this one shape. Raw samples
are kept, so that a figure can always be taken again. No path is in it: a bundle is known by its hashes.

`python -m mobile_bench.record > docs/bench-record.schema.json` writes the JSON Schema anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from mobile_bench.errors import RecordError

SCHEMA_VERSION = 1

DeviceKind = Literal["phone", "host", "browser", "emulated-arm64", "emulated-htp", "software-gpu"]
LATENCY_KINDS: frozenset[str] = frozenset({"phone", "host", "browser"})
"""Kinds of device whose latency means something; the others are correctness rows."""

PageCache = Literal["dropped", "partly dropped", "kept", "unknown"]


class _Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the record's parts: immutable, and strict about fields it does not know."""


class BundleIdentity(_Fact, frozen=True):
    """Which bundle was measured.

    Attributes:
        name: of its folder, without the path to it: what tables call it.
        dataset: the manifest's name.
        manifest_sha256: of `manifest.json`, which itself names every file by hash.
        files_sha256: SHA-256 by file name.
        precision: of the stored weights, such as `fp32`.
        form: of the graph, such as `loop`.
        scoring: `vocab` or `codes`.
        num_beams: of the search.
        items: in the catalogue.
        parameters: of the model.
        keep_ratio: kept ÷ original parameters of the factored matrices; 1 for a dense model.
        bundle_bytes: on disk, all files that a phone needs.
    """

    name: str
    dataset: str
    manifest_sha256: str
    files_sha256: dict[str, str]
    precision: str
    form: str
    scoring: str
    num_beams: int
    items: int
    parameters: int
    keep_ratio: float
    bundle_bytes: int


class Device(_Fact, frozen=True):
    """Where it was measured. `None`: this device does not tell.

    Attributes:
        device_kind: what sort of device; latency means something on `phone`, `host` and `browser` only.
        cpu_model: as the system names it.
        cores: logical processors that the process may use.
        max_clock_mhz: highest clock of the fastest core.
        memory_bytes: physical memory, or the container's limit where that is smaller.
        os: name and release.
        architecture: such as `x86_64` or `arm64-v8a`.
        onnxruntime: version.
        python: version; `None` where no Python is involved.
    """

    device_kind: DeviceKind
    cpu_model: str
    cores: int
    max_clock_mhz: float | None
    memory_bytes: int
    os: str
    architecture: str
    onnxruntime: str
    python: str | None


class Execution(_Fact, frozen=True):
    """How the runtime was asked to run it, and what it did.

    Attributes:
        provider: asked for, by the command line's name (`cpu`).
        nodes_placed: distinct graph nodes that ran on each execution provider, from the runtime's profile.
        threads: of the intra-op pool.
        session_options: as the session reports them.
    """

    provider: str
    nodes_placed: dict[str, int]
    threads: int
    session_options: dict[str, str]


class Workload(_Fact, frozen=True):
    """What was asked.

    Attributes:
        source: `golden` (the bundle's own histories) or `random` (seeded rows, window full).
        histories: how many different ones, asked in turn.
        history_items: length of each.
        prompt_tokens: of each.
        warm_up_calls: made and thrown away before the first sample.
    """

    source: Literal["golden", "random", "given"]
    histories: int
    history_items: list[int]
    prompt_tokens: list[int]
    warm_up_calls: int


class Distribution(_Fact, frozen=True):
    """A summary of raw samples in their unit; definitions in `mobile_bench.statistics`.

    Attributes:
        count: samples.
        p50: median.
        p90: nine of ten samples are at most this.
        p99: ninety-nine of a hundred samples are at most this.
        mean: arithmetic mean.
        p50_low: lower end of the median's 95 % bootstrap interval.
        p50_high: upper end of it.
    """

    count: int
    p50: float
    p90: float
    p99: float
    mean: float
    p50_low: float
    p50_high: float


class Timing(_Fact, frozen=True):
    """Time to top-k: item rows in, ranked item rows out, one call after the other.

    Attributes:
        wall_ms: every call's elapsed time, in order.
        cpu_ms: every call's processor time over all threads of the process, in order.
        round_calls: how many of those calls each round made; rounds of compared cells alternate.
        wall: summary of `wall_ms`.
        cpu: summary of `cpu_ms`.
        other_load_cores: processors that other programs kept busy meanwhile, mean.
    """

    wall_ms: list[float]
    cpu_ms: list[float]
    round_calls: list[int]
    wall: Distribution
    cpu: Distribution
    other_load_cores: float


class Load(_Fact, frozen=True):
    """Opening the bundle: hashes checked, catalogue read, session made.

    Attributes:
        cold_ms: in a fresh process, its first open; imports are not counted.
        page_cache: whether the files had left the system's page cache before the cold open: `dropped` was
            checked, `unknown` means that it was asked for and this file system does not tell.
        warm_ms: opens after that, in the same process.
    """

    cold_ms: float
    page_cache: PageCache
    warm_ms: list[float]


class Memory(_Fact, frozen=True):
    """Resident memory of a process that only opens the bundle and calls it; a pass of its own, never timed.

    Attributes:
        before_open_bytes: resident before the bundle was opened: the interpreter and its libraries.
        peak_memory_bytes: the most that was resident at once, everything included, kept by the kernel.
        anonymous_peak_bytes: the most that belonged to the process alone, sampled every few ms.
        file_backed_peak_bytes: the most that could be dropped and read again, such as mapped weights.
        calls: made in this pass.
    """

    before_open_bytes: int
    peak_memory_bytes: int
    anonymous_peak_bytes: int | None
    file_backed_peak_bytes: int | None
    calls: int


class Validity(_Fact, frozen=True):
    """Whether the timing may be quoted, and if not, why."""

    valid: bool
    reasons: list[str]


class Record(_Fact, frozen=True):
    """One measured cell."""

    bundle: BundleIdentity
    device: Device
    execution: Execution
    workload: Workload
    time_to_top_k: Timing
    load: Load
    memory: Memory
    validity: Validity
    run: str
    """Cells of one run were measured side by side; ratios exist between records of one run only."""
    measured_at: str
    """UTC, ISO 8601."""
    schema_version: int = SCHEMA_VERSION

    @property
    def label(self) -> str:
        """Name of the cell for tables: the bundle, its provider and its threads."""
        threads = self.execution.threads
        return f"{self.bundle.name} · {self.execution.provider} · {threads} thread{'s' * (threads > 1)}"


def to_json(record: Record) -> str:
    """Return a record as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2).decode()


def to_builtins(record: Record) -> dict[str, Any]:
    """Return a record as plain dicts and lists."""
    return dict(msgspec.to_builtins(record))


def from_json(text: str | bytes, *, source: str = "the record") -> Record:
    """Read one record.

    Args:
        text: JSON.
        source: what the message calls it, such as the file's path.

    Raises:
        RecordError: not JSON, of a newer schema, or not a record.
    """
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise RecordError(f"{source} is not valid JSON ({error}); it may be cut short. Measure again.") from error
    return _convert(value, source)


def read_records(path: Path) -> list[Record]:
    """Read a file of records, as `odllm bench --out` writes it.

    Raises:
        RecordError: missing, cut short, of a newer schema, or not a list of records.
    """
    try:
        value = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise RecordError(f"{path} is not valid JSON ({error}); it may be cut short. Measure again.") from error
    if not isinstance(value, list):
        raise RecordError(f"{path} holds no list of records; `odllm bench --out FILE` writes such files.")
    return [_convert(entry, f"{path}, record {number}") for number, entry in enumerate(value, start=1)]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a record."""
    return msgspec.json.schema(Record)


def _convert(value: Any, source: str) -> Record:
    version = value.get("schema_version") if isinstance(value, dict) else None
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise RecordError(
            f"{source} has schema version {version}; this version of odllm reads up to {SCHEMA_VERSION}. "
            "Update odllm, or measure again."
        )
    try:
        return msgspec.convert(value, Record)
    except msgspec.ValidationError as error:
        raise RecordError(f"{source} is damaged: {error}. Measure again.") from error


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
