import re
from pathlib import Path

import pytest
from bench_samples import AGREEMENT, record, timing
from html_checks import HOSTILE, tags_of, well_described_pictures
from msgspec.structs import replace
from test_collection import PHASES, on
from test_pareto import with_quality

from mobile_bench.collection import Collection, FailedCell, collect
from mobile_bench.record import Record, Validity
from mobile_bench.report.records import render_records, write_records
from mobile_bench.report.records.provenance import numbers
from mobile_bench.report.records.side_by_side import pairs
from mobile_bench.report.records.tables import median_cell
from mobile_bench.report.records.tiles import tiles
from mobile_bench.report.tables import Tile
from mobile_bench.results import Failure

SPREAD = Validity(valid=False, reasons=["too much spread: the middle half is wide"])
FAILURE = Failure(bundle=HOSTILE, provider="qnn", threads=1, reason=HOSTILE)


def measured(name: str, factor: float, ndcg_10: float) -> Record:
    one = record(timing([factor * sample for sample in (1.0, 1.1, 1.2, 1.0, 9.0, 1.1)], calls=2), name=name)
    digest = f"{name:>64}"[:64]
    return with_quality(
        replace(one, phases=PHASES, bundle=replace(one.bundle, name=name, manifest_sha256=digest)), ndcg_10
    )


def everything() -> Collection:
    host = [measured("dense", 2.0, 0.05), replace(measured(HOSTILE, 1.0, 0.04), validity=SPREAD)]
    phone = on(measured("dense", 8.0, 0.05), device_kind="phone", model=HOSTILE, soc="A chip")
    emulated = replace(record(None, device_kind="emulated-htp", name="steps", provider="qnn"), phases=PHASES)
    return collect([*host, replace(phone, run="elsewhere"), emulated], [FailedCell("a.json", FAILURE)], ["a.json"])


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)).split())


def test_html_in_any_text_is_escaped() -> None:
    page = render_records(everything(), HOSTILE)
    assert "script" not in tags_of(page).tags
    assert page.count("&lt;script&gt;") >= 12


def test_page_loads_nothing_and_links_only_into_itself() -> None:
    page = render_records(everything())
    assert all(address.startswith("#") for address in tags_of(page).addresses)
    assert not {"link", "img", "iframe", "script", "object"} & set(tags_of(page).tags)
    assert "url(" not in page
    assert "@import" not in page


def test_links_have_targets_and_names_are_given_once() -> None:
    page = render_records(everything())
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {address[1:] for address in tags_of(page).addresses} <= set(ids)


def test_pictures_of_every_device_say_what_they_show() -> None:
    pictures = well_described_pictures(render_records(everything()))
    titles = [picture.findtext("title") for picture in pictures]
    # The phone has one cell only: nothing to choose from, and nothing beside it in its run.
    assert titles == [
        "Quality against time",
        "Quality against size",
        "Time to top-k of every call",
        "Time over the course of the run",
        "Ratios of times",
        "A call taken apart",
        "Memory",
        "Time to top-k of every call",
        "Time over the course of the run",
        "A call taken apart",
        "Memory",
    ]
    assert "On the front: dense." in (pictures[0].findtext("desc") or "")


def test_tables_have_captions_and_headers() -> None:
    page = render_records(everything())
    assert page.count("<table") == page.count("<caption") > 8
    assert page.count('<th scope="row">') > 8


def test_marked_and_failed_cells_stand_with_their_reasons() -> None:
    text = text_of(render_records(everything()))
    assert "is not to be quoted: too much spread: the middle half is wide." in text
    assert "Cells that failed" in text
    assert "a.json" in text


def test_stand_ins_have_a_table_without_any_time() -> None:
    page = render_records(collect([replace(record(None, device_kind="software-gpu"), phases=PHASES)]))
    text = text_of(page)
    assert "On stand-ins" in text
    assert "software-gpu" in text
    assert not re.search(r"\bms\b|p50", text)
    assert "<svg" not in page


def test_without_quality_a_sentence_stands_in_place_of_the_pictures() -> None:
    plain = [replace(measured(name, 1.0, 0.1), quality=None, agreement=None) for name in ("a", "b")]
    page = render_records(collect(plain))
    assert "nothing is known of their quality" in page
    assert "Quality against time</title>" not in page


def test_overlap_takes_the_place_of_ndcg_and_says_so() -> None:
    true, rounded = (replace(measured(name, 1.0, 0.1), quality=None) for name in ("a", "b"))
    page = render_records(collect([true, replace(rounded, agreement=replace(AGREEMENT, overlap=0.95))]))
    assert "NDCG@10 was not measured" in page
    assert ">list overlap, from 0.94</text>" in page


def test_a_run_of_failures_only_says_that_nothing_was_measured() -> None:
    text = text_of(render_records(collect([], [FailedCell("a.json", FAILURE)], ["a.json"])))
    assert text.startswith("Nothing could be measured")
    assert "1 cell failed" in text


def test_title_can_be_given() -> None:
    assert "<title>Ours</title>" in render_records(everything(), "Ours")


def test_headlines_leave_out_times_that_are_not_to_be_quoted() -> None:
    fast = replace(measured("fast", 1.0, 0.04), validity=SPREAD)
    found = [(tile.figure, tile.words) for tile in tiles(collect([measured("slow", 2.0, 0.05), fast]).cells)]
    assert found[0] == ("2.20 ms", "p50: slow")
    assert found[1] == ("0.0500", "highest NDCG@10: slow")
    assert found[2][1] == "smallest on disk: slow and fast"


def test_headlines_say_so_where_no_time_is_to_be_quoted() -> None:
    only = replace(measured("only", 1.0, 0.04), validity=SPREAD)
    assert tiles(collect([only]).cells)[0] == Tile("–", "no p50: not one of the times is to be quoted")
    untimed = record(None, device_kind="emulated-htp")
    assert [tile.words for tile in tiles(collect([untimed]).cells)] == ["on disk: dense", "peak memory: dense"]


def test_cells_of_one_run_are_compared_with_its_first_in_words() -> None:
    first, second = measured("first", 2.0, 0.05), measured("second", 1.0, 0.05)
    elsewhere = replace(measured("third", 1.0, 0.05), run="elsewhere")
    (pair,) = pairs(collect([first, second, elsewhere]).cells)
    assert pair.words == "second ÷ first: 0.500 (0.500 to 0.500, wall time, paired by rounds): faster."
    assert pair.quality == "NDCG@10 is the same for every user."


def test_change_of_quality_is_taken_user_by_user() -> None:
    first, second = (with_quality(measured(name, 1.0, 0.5), 0.5, users=40) for name in ("first", "second"))
    assert second.quality is not None
    lost = replace(second, quality=replace(second.quality, ranks=[-1] * 40))
    (pair,) = pairs(collect([first, lost]).cells)
    assert pair.quality == "NDCG@10 −1.0000 (−1.0000 to −1.0000, user by user): more than chance."


def test_cells_with_other_rounds_are_not_compared_and_the_reason_is_given() -> None:
    first, second = measured("first", 1.0, 0.1), replace(measured("second", 1.0, 0.1), time_to_top_k=timing([1.0]))
    (pair,) = pairs(collect([first, second]).cells)
    assert pair.comparison is None
    assert "different rounds" in pair.words


def test_neighbouring_numbers_are_a_range() -> None:
    cells = collect([record(None, name=str(i)) for i in range(7)]).cells
    assert numbers([cells[i] for i in (0, 1, 2, 4, 6)]) == "1–3, 5, 7"
    assert numbers(cells[:2]) == "1, 2"


@pytest.mark.parametrize("samples", [[1.0], [0.5, 1.0, 80.0], [1.0] * 300])
def test_one_sample_outliers_and_many_rounds_render(samples: list[float]) -> None:
    cells = [replace(measured(name, 1.0, 0.1), time_to_top_k=timing(samples)) for name in ("a", "b")]
    page = render_records(collect(cells))
    assert "nan" not in re.sub(r"[A-Za-z]{4,}", "", page)
    assert len(well_described_pictures(page)) == 7


def test_page_is_written_whole(tmp_path: Path) -> None:
    write_records(everything(), tmp_path / "deep" / "report.html")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["report.html"]


def test_a_difference_below_zero_reads_as_one() -> None:
    cell = median_cell(replace(PHASES.prefill, p50=-0.3, p50_low=-5.9, p50_high=4.02))
    assert (cell.figure, cell.small) == ("−0.30", "−5.90 to 4.02")
    assert median_cell(replace(PHASES.prefill, p50_low=0.5, p50_high=1234.4)).small == "0.50–1,234"
