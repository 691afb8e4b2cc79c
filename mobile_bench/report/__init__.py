"""The HTML report: one file, no network, light and dark, from a phone's width upwards."""

from mobile_bench.report.content import (
    Baseline,
    Example,
    ExampleList,
    Fact,
    LayerRank,
    Measure,
    PrecisionComparison,
    PrecisionResult,
    Report,
    Variant,
    Verification,
)
from mobile_bench.report.page import render_report, write_report

__all__ = [
    "Baseline",
    "Example",
    "ExampleList",
    "Fact",
    "LayerRank",
    "Measure",
    "PrecisionComparison",
    "PrecisionResult",
    "Report",
    "Variant",
    "Verification",
    "render_report",
    "write_report",
]
