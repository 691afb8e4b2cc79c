"""The demo's settings, and where its results lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mobile_bench.record import Record
from mobile_bench.results import read_results
from odllm_artifact import read_json

VARIANTS = ("dense", "training-free", "compressed")
"""The model as trained; compressed and not trained again; that one recovered by distillation: the product."""


class DemoSettings(msgspec.Struct, frozen=True):
    """What the demo does; `quick` shrinks every number for a test.

    Attributes:
        preset: of the recommender.
        epochs: at most; None takes the preset's.
        keep_ratio: kept fraction of the factored matrices.
        calibration_sequences: whose activations decide what is kept.
        recovery_seconds: of distillation.
        golden_histories: of a bundle's self-test; the benchmark asks them too.
        verify_histories: compared a bundle.
        precision_histories: whose lists are compared a precision.
        precision_users: asked for their last item a precision; None asks all, as the evaluation does.
        bench_seconds: of timed calls a bundle.
        bench_calls: at least so many timed calls a bundle.
        seed: of everything random.
    """

    preset: str = "tiny"
    epochs: int | None = None
    keep_ratio: float = 0.5
    calibration_sequences: int = 1024
    recovery_seconds: float = 55.0
    golden_histories: int = 64
    verify_histories: int = 500
    precision_histories: int = 100
    precision_users: int | None = None
    bench_seconds: float = 5.0
    bench_calls: int = 200
    seed: int = 0


QUICK = DemoSettings(
    epochs=1,
    calibration_sequences=64,
    recovery_seconds=2.0,
    verify_histories=10,
    precision_histories=10,
    precision_users=20,
    bench_seconds=0.2,
    bench_calls=20,
)
"""Everything runs, nothing is good: for tests and for a first look at the folders."""


@dataclass(frozen=True)
class DemoFolder:
    """What lies where below `out`."""

    out: Path

    @property
    def dataset(self) -> Path:
        """The imported data and its codes."""
        return self.out / "dataset"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.out / "report.html"

    def model(self, name: str) -> Path:
        """The model folder of one of `VARIANTS`."""
        return self.out / "models" / name

    def bundle(self, name: str) -> Path:
        """The bundle of one of `VARIANTS`."""
        return self.out / "bundles" / name

    def evaluation(self, name: str) -> dict[str, Any]:
        """Quality of a model on the test split."""
        return dict(read_json(self.model(name) / "evaluation.json"))

    def records(self) -> dict[str, Record]:
        """The measurements of `VARIANTS`."""
        return dict(zip(VARIANTS, read_results(self.out / "bench.json").records, strict=True))
