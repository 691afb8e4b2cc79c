"""The record of one measured cell: one bundle, one provider, one number of threads, one device.

Whatever did the measuring, this host, a phone or a browser, ends in this one shape. Raw samples
are kept, so that a figure can always be taken again. No path is in it: a bundle is known by its hashes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mobile_bench.errors import ComparisonError
from mobile_bench.placement import Placement
from odllm_export.agreement import Agreement

SCHEMA_VERSION = 3

DeviceKind = Literal["phone", "host", "browser", "emulated-arm64", "emulator", "emulated-htp", "software-gpu"]
LATENCY_KINDS: frozenset[str] = frozenset({"phone", "host", "browser"})
"""Kinds of device whose latency means something; the others are correctness rows."""

PageCache = Literal["dropped", "partly dropped", "kept", "unknown"]


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the record's parts: immutable, and strict about fields it does not know."""


class BundleIdentity(Fact, frozen=True):
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


class Device(Fact, frozen=True):
    """Where it was measured. `None`: this device does not tell.

    Attributes:
        device_kind: what sort of device; latency means something on `phone`, `host` and `browser` only.
        model: of a phone, as its maker names it.
        soc: system on a chip, as the system names it.
        cpu_model: as the system names it.
        cores: logical processors that the process may use.
        max_clocks_mhz: highest clock of every core.
        memory_bytes: physical memory, or the container's limit where that is smaller.
        os: name and release.
        architecture: such as `x86_64` or `arm64-v8a`.
        onnxruntime: version of the measuring process's, which depends on the provider.
        runtime_build: what it says about its build.
        python: version; `None` where no Python is involved.
        browser: name and version; `None` where none is involved.
    """

    device_kind: DeviceKind
    model: str | None
    soc: str | None
    cpu_model: str
    cores: int
    max_clocks_mhz: list[float] | None
    memory_bytes: int
    os: str
    architecture: str
    onnxruntime: str
    runtime_build: str | None
    python: str | None
    browser: str | None


class Execution(Fact, frozen=True):
    """How the runtime was asked to run it, and what it did.

    Attributes:
        provider: asked for, by the command line's name (`cpu`).
        placement: where the graph's nodes really ran, from the runtime's profile.
        threads: of the intra-op pool.
        session_options: as the session reports them.
    """

    provider: str
    placement: Placement
    threads: int
    session_options: dict[str, str]


class Workload(Fact, frozen=True):
    """What was asked.

    Attributes:
        source: `golden` (the bundle's own histories) or `random` (seeded rows, window full).
        histories: how many different ones, asked in turn.
        history_items: length of each.
        prompt_tokens: of each.
        warm_up_calls: made and thrown away before the first sample; in a browser they go on for two seconds at least,
            because wasm is compiled well only while it runs.
    """

    source: Literal["golden", "random", "given"]
    histories: int
    history_items: list[int]
    prompt_tokens: list[int]
    warm_up_calls: int


class Distribution(Fact, frozen=True):
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


class Timing(Fact, frozen=True):
    """Time to top-k: item rows in, ranked item rows out, one call after the other.

    Attributes:
        wall_ms: every call's elapsed time, in order.
        cpu_ms: every call's processor time over all threads of the process, in order. A page cannot read it: there it
            is that of its process over a whole round, shared out to the calls by their elapsed times.
        round_calls: how many of those calls each round made; rounds of compared cells alternate.
        wall: summary of `wall_ms`.
        cpu: summary of `cpu_ms`.
        other_load_cores: processors that other programs kept busy meanwhile, mean; None where it does not tell.
    """

    wall_ms: list[float]
    cpu_ms: list[float]
    round_calls: list[int]
    wall: Distribution
    cpu: Distribution
    other_load_cores: float | None


class Phases(Fact, frozen=True):
    """A call taken apart, by what it does not have to compute; a pass of its own, not side by side with other cells.

    Attributes:
        whole_ms: calls from nothing, as in `Timing`.
        incremental_ms: the same histories in a session that knows all but the last item: what an app calls when its
            user taps.
        repeated_ms: once more with nothing new: the prompt's last tokens, the search and the ranking are left.
        whole: summary of `whole_ms`.
        incremental: summary of `incremental_ms`.
        repeated: summary of `repeated_ms`.
        prefill: of whole − repeated, pair by pair: what the prompt costs.
        per_step: of repeated ÷ levels: what a pass of the search costs, with its share of everything around.
    """

    whole_ms: list[float]
    incremental_ms: list[float]
    repeated_ms: list[float]
    whole: Distribution
    incremental: Distribution
    repeated: Distribution
    prefill: Distribution
    per_step: Distribution


class Load(Fact, frozen=True):
    """Opening the bundle: hashes checked, catalogue read, session made.

    Attributes:
        cold_ms: in a fresh process, its first open; imports are not counted. In a browser it is the first open of an
            empty profile, and the runtime is fetched and compiled in it.
        page_cache: whether the files had left the system's page cache before the cold open: `dropped` was
            checked, `unknown` means that this file system does not tell, or that a page or an app cannot ask for it.
        warm_ms: opens after that, in the same process.
    """

    cold_ms: float
    page_cache: PageCache
    warm_ms: list[float]


class Memory(Fact, frozen=True):
    """Resident memory of a process that only opens the bundle and calls it; a pass of its own, never timed.

    In a browser it is that of the page's process, script engine included, without the browser's other processes.

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


class Quality(Fact, frozen=True):
    """HR and NDCG of this very run; the protocol is that of `odllm evaluate`.

    Attributes:
        dataset: its name.
        users: whose last item was asked for.
        hit_rate_10: share of them whose item was among the first ten.
        ndcg_10: NDCG@10.
        ndcg_10_low: lower end of its 95 % bootstrap interval over users.
        ndcg_10_high: upper end of it.
        ranks: 0-based, by user; -1 where the item was not in the list.
    """

    dataset: str
    users: int
    hit_rate_10: float
    ndcg_10: float
    ndcg_10_low: float
    ndcg_10_high: float
    ranks: list[int]


class Energy(Fact, frozen=True):
    """What calls cost the device's battery or supply, beyond what it draws when idle; a pass of its own.

    Attributes:
        method: `power-rails` (the processor's own counters on a phone), `fuel-gauge` (the battery's current and
            voltage, which hold screen and radios too) or `rapl` (a host processor's counters).
        calls: made one after the other.
        seconds: they took.
        idle_watts: drawn before them, over as long.
        joules_per_call: above idle.
        error_joules_per_call: half of the 95 % interval, from the meter's resolution and the spread of its readings.
    """

    method: Literal["power-rails", "fuel-gauge", "rapl"]
    calls: int
    seconds: float
    idle_watts: float
    joules_per_call: float
    error_joules_per_call: float


class Conditions(Fact, frozen=True):
    """How the device was at one moment. `None`: this device does not tell.

    Attributes:
        temperature_c: of the hottest sensor of processor or battery.
        thermal_status: a phone's, from `none` to `shutdown`.
        battery_percent: charge.
        charging: whether it hung on a charger.
    """

    temperature_c: float | None
    thermal_status: str | None
    battery_percent: float | None
    charging: bool | None


class Validity(Fact, frozen=True):
    """Whether the timing may be quoted, and if not, why."""

    valid: bool
    reasons: list[str]


class Record(Fact, frozen=True):
    """One measured cell.

    Attributes:
        bundle: which.
        device: where.
        execution: how.
        workload: what was asked.
        time_to_top_k: None on kinds of device whose latency means nothing.
        phases: such a call taken apart; None where it is.
        load: opening it.
        memory: what it took.
        agreement: of this very run's answers with the bundle's golden lists; None if it has none.
        energy: of a call; None where the device tells nothing that could be measured.
        quality: of this very run on held-out items; None if no dataset was given, and on stand-ins.
        conditions: of the device, before and after the timing.
        validity: whether the figures may be quoted.
        run: cells of one run were measured side by side; ratios exist between records of one run only.
        measured_at: UTC, ISO 8601.
        schema_version: of this form.
    """

    bundle: BundleIdentity
    device: Device
    execution: Execution
    workload: Workload
    time_to_top_k: Timing | None
    phases: Phases | None
    load: Load
    memory: Memory
    agreement: Agreement | None
    energy: Energy | None
    quality: Quality | None
    conditions: tuple[Conditions, Conditions]
    validity: Validity
    run: str
    measured_at: str
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Check that nothing is timed where that means nothing.

        Raises:
            ValueError: a time on such a device.
        """
        kind = self.device.device_kind
        if self.time_to_top_k is not None and kind not in LATENCY_KINDS:
            raise ValueError(
                f"a time was recorded on a device of kind {kind!r}, whose latency says nothing about speed"
            )

    @property
    def timing(self) -> Timing:
        """The time to top-k of a cell that was timed.

        Raises:
            ComparisonError: it was not: its device's latency means nothing.
        """
        if self.time_to_top_k is None:
            raise ComparisonError(f"{self.label} ran on {self.device.device_kind}: its latency says nothing")
        return self.time_to_top_k

    @property
    def label(self) -> str:
        """Name of the cell for tables: the bundle, its provider and its threads."""
        return cell_label(self.bundle.name, self.execution.provider, self.execution.threads)


def cell_label(bundle: str, provider: str, threads: int) -> str:
    """Return what tables call a cell."""
    return f"{bundle} · {provider} · {threads} thread{'s' * (threads > 1)}"
