"""Hand-made timings and records."""

from __future__ import annotations

from collections.abc import Sequence

from mobile_bench.placement import CPU, Placement
from mobile_bench.record import (
    BundleIdentity,
    Conditions,
    Device,
    DeviceKind,
    Execution,
    Load,
    Memory,
    Record,
    Timing,
    Validity,
    Workload,
)
from mobile_bench.statistics import distribution
from odllm_export.agreement import Agreement

UNTOLD = Conditions(temperature_c=None, thermal_status=None, battery_percent=None, charging=None)
AGREEMENT = Agreement("model", min_overlap=1.0, cases=4, equal_lists=4, overlap=1.0, score_difference=1e-6)


def timing(
    wall_ms: Sequence[float], *, cpu_ms: Sequence[float] | None = None, calls: int = 1, other_load: float = 0.0
) -> Timing:
    cpu = list(wall_ms if cpu_ms is None else cpu_ms)
    return Timing(
        wall_ms=list(wall_ms),
        cpu_ms=cpu,
        round_calls=[calls] * (len(wall_ms) // calls),
        wall=distribution(wall_ms),
        cpu=distribution(cpu),
        other_load_cores=other_load,
    )


def record(
    measured: Timing | None,
    *,
    name: str = "dense",
    run: str = "run",
    device_kind: DeviceKind = "host",
    provider: str = "cpu",
) -> Record:
    return Record(
        bundle=BundleIdentity(
            name=name,
            dataset="toy",
            manifest_sha256="0" * 64,
            files_sha256={"recommend.onnx": "1" * 64},
            precision="fp32",
            form="loop",
            scoring="vocab",
            num_beams=20,
            items=9,
            parameters=10,
            keep_ratio=1.0,
            bundle_bytes=1000,
        ),
        device=Device(
            device_kind=device_kind,
            model=None,
            soc=None,
            cpu_model="a processor",
            cores=2,
            max_clocks_mhz=None,
            memory_bytes=1 << 30,
            os="Linux",
            architecture="x86_64",
            onnxruntime="1",
            runtime_build=None,
            python=None,
            browser=None,
        ),
        execution=Execution(
            provider=provider,
            placement=Placement(nodes={CPU: 3}, products=2, products_on_cpu=2),
            threads=1,
            session_options={},
        ),
        workload=Workload(source="random", histories=2, history_items=[3, 4], prompt_tokens=[9, 11], warm_up_calls=3),
        time_to_top_k=measured,
        phases=None,
        load=Load(cold_ms=9.0, page_cache="dropped", warm_ms=[3.0, 5.0]),
        memory=Memory(
            before_open_bytes=1,
            peak_memory_bytes=4000,
            anonymous_peak_bytes=3000,
            file_backed_peak_bytes=None,
            calls=20,
        ),
        agreement=AGREEMENT,
        energy=None,
        quality=None,
        conditions=(UNTOLD, UNTOLD),
        validity=Validity(valid=True, reasons=[]),
        run=run,
        measured_at="2025-01-01T00:00:00+00:00",
    )
