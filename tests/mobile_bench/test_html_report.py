import re
from pathlib import Path

import msgspec
import pytest
from html_checks import HOSTILE, tags_of, well_described_pictures

from mobile_bench.errors import BenchError
from mobile_bench.report import (
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
    render_report,
    write_report,
)
from mobile_bench.report.page import precision_rows, table, tiles
from mobile_bench.report.svg import ticks


def variant(name: str, factor: float = 1.0) -> Variant:
    return Variant(
        name=name,
        description="as trained",
        parameters=int(1000 * factor),
        bundle_bytes=int((4 << 20) * factor),
        hit_rate_10=Measure(value=0.1, low=0.09, high=0.11),
        ndcg_10=Measure(value=0.05),
        time_to_top_k_ms=[10 * factor, 11 * factor, 12 * factor],
        peak_memory_bytes=int((100 << 20) * factor),
    )


def precision(name: str, change: Measure | None = None) -> PrecisionResult:
    return PrecisionResult(
        name=name,
        description=HOSTILE,
        weight_bytes=1 << 20,
        bundle_bytes=3 << 19,
        overlap=0.9375,
        same_first_item=1.0,
        hit_rate_10=Measure(value=0.1, low=0.09, high=0.11),
        ndcg_10=Measure(value=0.05),
        ndcg_10_change=change,
    )


COMPARED = PrecisionComparison(
    variant=HOSTILE,
    histories=5,
    top_k=10,
    users=7,
    results=[precision("fp32"), precision(HOSTILE, Measure(value=-0.0026, low=-0.006, high=0.00002))],
)

FULL = Report(
    title=HOSTILE,
    subtitle="a data set",
    device="a host",
    made_at="today",
    variants=[variant("dense"), variant(HOSTILE, 0.5)],
    baselines=[Baseline(name=HOSTILE, hit_rate_10=Measure(value=0.01), ndcg_10=Measure(value=0.005))],
    example=Example(
        history=[HOSTILE, "Heat (1995)"],
        lists=[ExampleList(variant="dense", titles=[HOSTILE, "Fargo (1996)"])],
        actual_next="Fargo (1996)",
    ),
    ranks=[
        LayerRank(layer=0, projection="q", rank=8, full_rank=32),
        LayerRank(layer=0, projection="k", rank=None, full_rank=32),
    ],
    verification=[Verification(variant="dense", histories=5, identical_lists=4, max_score_difference=1e-6)],
    precisions=COMPARED,
    provenance=[Fact(label="dataset", value=HOSTILE)],
    commands=[f"make {HOSTILE}"],
    notes=[HOSTILE],
)


def test_html_in_any_text_is_escaped() -> None:
    page = render_report(FULL)
    assert "<script" not in page
    assert "script" not in tags_of(page).tags
    assert page.count("&lt;script&gt;") >= 12


def test_page_loads_nothing() -> None:
    page = render_report(FULL)
    assert tags_of(page).addresses == []
    assert not {"link", "img", "iframe", "script", "object"} & set(tags_of(page).tags)
    assert "url(" not in page
    assert "@import" not in page


def test_pictures_are_well_formed_and_say_what_they_show() -> None:
    assert len(well_described_pictures(render_report(FULL))) == 3


def test_tables_have_captions_and_headers() -> None:
    page = render_report(FULL)
    assert page.count("<table") == page.count("<caption>") == 3
    assert '<th scope="row">NDCG@10</th>' in page


def test_headlines_hold_the_last_variant_against_the_first() -> None:
    assert [tile.figure for tile in tiles(FULL)] == ["100 %", "50 %", "50 %", "50 %"]


def test_table_has_every_figure_and_its_ratio() -> None:
    rows = {row.name: row for row in table(FULL)}
    assert [cell.figure for cell in rows["Parameters"].cells] == ["1,000", "500"]
    assert rows["Time p50, ms"].change == "0.50×"
    assert rows["HR@10"].cells[0].small == "0.0900–0.1100"


def test_precisions_show_size_lists_quality_and_the_change_from_the_first() -> None:
    first, second = precision_rows(COMPARED)
    assert [cell.figure for cell in first.cells] == ["1.50", "93.8 %", "100.0 %", "0.1000", "0.0500", ""]
    assert first.cells[0].small == "weights 1.00"
    assert (second.cells[-1].figure, second.cells[-1].small) == ("−0.0026", "−0.0060 to 0")
    assert "weights in fewer bits" in render_report(FULL)
    assert "weights in fewer bits" not in render_report(msgspec.structs.replace(FULL, precisions=None))


def test_failed_verification_looks_failed() -> None:
    assert '<li class="fail">' in render_report(FULL)


def test_smallest_report_renders() -> None:
    report = Report(title="t", subtitle="s", device="d", made_at="m", variants=[variant("only")])
    page = render_report(report)
    assert "ratio" not in page.lower().replace("decoration", "")
    assert page.count("<svg") == 2


@pytest.mark.parametrize("value", [0.0, 1e-9, 1.0])
def test_qualities_of_zero_and_nearly_zero_render(value: float) -> None:
    flat = [
        msgspec.structs.replace(variant(name), ndcg_10=Measure(value=value, low=value, high=value))
        for name in ("a", "b")
    ]
    page = render_report(msgspec.structs.replace(FULL, variants=flat))
    assert "nan" not in re.sub(r"[A-Za-z]{4,}", "", page)


def test_variant_without_samples_is_refused() -> None:
    with pytest.raises(BenchError, match="no time samples"):
        Report(
            title="t",
            subtitle="s",
            device="d",
            made_at="m",
            variants=[msgspec.structs.replace(variant("a"), time_to_top_k_ms=[])],
        )


def test_report_is_written_whole(tmp_path: Path) -> None:
    write_report(FULL, tmp_path / "deep" / "report.html")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["report.html"]


@pytest.mark.parametrize("highest", [1e-7, 0.07, 1.0, 3.3, 12.0, 99.9, 12345.0])
def test_ticks_are_few_even_and_reach_the_highest(highest: float) -> None:
    found = ticks(highest)
    assert found[0] == 0
    assert found[-1] >= highest * (1 - 1e-9)
    assert 3 <= len(found) <= 8


def test_points_of_one_size_stand_apart_and_others_stay():
    from mobile_bench.report.plots import _apart

    assert _apart([100.0, 300.0]) == [100.0, 300.0]
    assert _apart([300.0, 100.0, 102.0]) == [300.0, 88.0, 114.0]
