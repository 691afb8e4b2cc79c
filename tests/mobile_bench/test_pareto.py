import pytest
from bench_samples import record, timing
from msgspec.structs import replace

from mobile_bench.collection import ReportedCell, collect
from mobile_bench.record import Quality, Record, Validity
from mobile_bench.report.content import Measure
from mobile_bench.report.records.pareto import Point, pareto_front, points_by_size, points_by_time, quality_scale


def with_quality(one: Record, ndcg_10: float, users: int = 2) -> Record:
    quality = Quality(
        dataset="toy",
        users=users,
        hit_rate_10=ndcg_10,
        ndcg_10=ndcg_10,
        ndcg_10_low=ndcg_10 / 2,
        ndcg_10_high=ndcg_10 * 2,
        ranks=[0] * users,
    )
    return replace(one, quality=quality)


def cells(*records: Record) -> list[ReportedCell]:
    return collect(records).cells


def point(name: str, cost: float, quality: float, *, may_lead: bool = True) -> Point:
    return Point(cells(record(None, name=name)), name, Measure(value=cost), Measure(value=quality), may_lead)


def names(points: list[Point]) -> list[str]:
    return [one.name for one in points]


def test_front_is_what_nobody_beats_cheapest_first() -> None:
    points = [point("dear", 9, 0.9), point("cheap", 1, 0.5), point("beaten", 5, 0.5), point("middle", 3, 0.7)]
    assert names(pareto_front(points)) == ["cheap", "middle", "dear"]


def test_equal_points_are_all_on_the_front_and_a_tie_in_one_is_decided_by_the_other() -> None:
    points = [point("a", 1, 0.5), point("b", 1, 0.5), point("worse", 1, 0.4), point("dearer", 2, 0.5)]
    assert names(pareto_front(points)) == ["a", "b"]


def test_what_is_not_to_be_quoted_neither_leads_nor_beats() -> None:
    assert names(pareto_front([point("doubtful", 1, 0.9, may_lead=False), point("sure", 2, 0.5)])) == ["sure"]


def test_quality_is_ndcg_where_measured_else_the_overlap_else_nothing() -> None:
    plain = record(timing([1.0]))
    measured = quality_scale(cells(plain, with_quality(record(timing([1.0]), name="half"), 0.04)))
    assert measured is not None
    assert (measured.kind, [cell.name for cell in measured.others]) == ("ndcg", ["dense"])
    assert measured.of(measured.cells[0].record) == Measure(value=0.04, low=0.02, high=0.08)
    lists = quality_scale(cells(plain))
    assert lists is not None
    assert (lists.kind, lists.of(plain)) == ("overlap", Measure(value=1.0))
    assert quality_scale(cells(replace(plain, agreement=None))) is None


def test_quality_of_other_users_is_not_compared() -> None:
    one, two = (with_quality(record(timing([1.0]), name=name), 0.04) for name in ("a", "b"))
    scale = quality_scale(cells(one, with_quality(record(timing([1.0]), name="few"), 0.9, users=1), two))
    assert scale is not None
    assert [cell.name for cell in scale.others] == ["few"]


def test_points_by_time_are_medians_and_those_by_size_one_a_bundle() -> None:
    one = record(timing([1.0, 2.0, 6.0]))
    doubtful = replace(
        one,
        execution=replace(one.execution, threads=2),
        validity=Validity(valid=False, reasons=["too much spread"]),
    )
    scale = quality_scale(cells(one, doubtful))
    assert scale is not None
    assert [(p.name, p.cost.value, p.may_lead) for p in points_by_time(scale)] == [
        ("dense · 1 thread", 2.0, True),
        ("dense · 2 threads", 2.0, False),
    ]
    (together,) = points_by_size(scale)
    assert (together.name, together.numbers, together.cost.value) == ("dense", "1, 2", 1000.0)
    assert together.may_lead


@pytest.mark.parametrize("kind", ["emulated-arm64", "software-gpu"])
def test_stand_ins_are_no_points_of_time(kind: str) -> None:
    scale = quality_scale(cells(record(None, device_kind=kind)))
    assert scale is not None
    assert points_by_time(scale) == []
