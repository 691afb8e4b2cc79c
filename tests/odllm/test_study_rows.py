"""Rows, tables and plots from results that are made up."""

import numpy as np
import pytest

from odllm.studies.ablation import ablation_study
from odllm.studies.calibration import calibration_study
from odllm.studies.cells import DENSE, Cell, Recipe, Result, pack_ranks
from odllm.studies.errors import StudyError
from odllm.studies.plots import pareto_front
from odllm.studies.precision import precision_study
from odllm.studies.ratio import ratio_study
from odllm.studies.rows import Measured
from odllm.studies.streaming import least_interactions, streaming_study
from odllm.studies.tables import markdown, show_kept

USERS = 300
RANKS = np.where(np.random.default_rng(0).random(USERS) < 0.5, np.arange(USERS) % 10, -1)


def result(kept=1.0, seed=0, **sizes):
    lost = np.random.default_rng([1, seed]).random(USERS) >= kept
    facts = {"parameters": 1000, "weight_bytes": 4000, "projection_bytes": 3000, "calibration_tokens": 900} | sizes
    return Result(ranks=pack_ranks(np.where(lost, -1, RANKS)), users=USERS, **facts)


def measured(study):
    """Give every cell but the dense ones nine tenths of the dense quality."""
    return Measured(study.cells, [result(1.0 if c.line == DENSE else 0.9, n) for n, c in enumerate(study.cells)])


def test_the_dense_row_keeps_all_and_others_what_they_keep():
    cells = [Cell(label=DENSE, line=DENSE), Cell(label="half", line="half")]
    dense, half = Measured(cells, [result(), result(0.5)]).rows()
    assert (dense.ndcg_kept.ratio, dense.ndcg_kept.low, dense.ndcg_kept.high) == (1, 1, 1)
    assert half.ndcg_kept.ratio == pytest.approx(half.ndcg_10 / dense.ndcg_10)
    assert half.ndcg_kept.low < half.ndcg_kept.ratio < half.ndcg_kept.high
    assert half.hit_rate_kept.ratio == pytest.approx(0.5, abs=0.1)


def test_seeds_share_a_row():
    cells = [Cell(label=DENSE, line=DENSE)]
    cells += [Cell(label="half", line="half", recipe=Recipe(seed=seed)) for seed in range(3)]
    _, half = Measured(cells, [result(), *(result(0.5, seed) for seed in range(3))]).rows()
    assert (half.seeds, half.users) == (3, USERS)


def test_every_step_is_held_against_the_dense_model_at_that_step():
    cells = [Cell(label=label, line=label, step=step) for label in (DENSE, "half") for step in (1, 2)]
    rows = Measured(cells, [result(1.0), result(0.4), result(1.0), result(0.4)]).rows()
    assert [row.ndcg_kept.ratio for row in rows] == [1, 1, 1, 1]


def test_nothing_is_kept_of_nothing():
    cells = [Cell(label=DENSE, line=DENSE), Cell(label="half", line="half")]
    rows = Measured(cells, [result(0.0), result(0.5)]).rows()
    assert [row.ndcg_kept for row in rows] == [None, None]
    assert show_kept(rows[0].ndcg_kept) == "–"


STUDIES = {
    "ratio": lambda: ratio_study(("default", "svd-llm"), (0.3, 0.5), recover_s=5, seeds=(0, 1)),
    "calibration": lambda: calibration_study(counts=(64, 256), seeds=(0, 1)),
    "ablation": ablation_study,
    "precision": lambda: precision_study(bundles=("int8-block32",)),
    "streaming": streaming_study,
}


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_a_table_and_a_plot(name, tmp_path):
    study = STUDIES[name]()
    found = measured(study)
    rows = found.rows()
    lines = markdown(study.title, study.columns, rows, study.notes(found), "odllm study").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(rows)
    assert {line.count("|") for line in table} == {len(study.columns) + 1}
    assert lines[-3:] == ["```", "odllm study", "```"]
    study.draw(study.title, rows).savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_a_recovery_is_a_line_of_its_own():
    study = STUDIES["ratio"]()
    lines = dict.fromkeys(cell.line for cell in study.cells)
    assert list(lines) == [DENSE, "default", "default + 5 s recovery", "svd-llm", "svd-llm + 5 s recovery"]


def test_the_ablation_says_what_is_presumed_and_what_is_lost():
    study = ablation_study()
    lost, letters = study.notes(measured(study))
    assert "lost by `default` ÷ lost by `svd-llm`" in lost
    assert "**Presumed**" in letters


def test_no_share_of_a_loss_that_may_be_chance():
    study = ablation_study()
    found = Measured(study.cells, [result() for _ in study.cells])
    assert study.notes(found)[0].startswith("Over these users the loss of `svd-llm` may be chance")


def test_the_precisions_are_compared_at_equal_bytes():
    notes = precision_study().notes(measured(precision_study()))
    assert any(note.startswith("At about equal bytes: keep 0.5 at int8-block32") for note in notes)


def test_the_bundles_are_held_against_torch():
    study = STUDIES["precision"]()
    assert study.notes(measured(study))[-1].startswith("Share of users whose target the bundle and torch put")


def test_early_parts_end_before_the_first_item_that_is_asked_for():
    length = least_interactions((0.25, 0.5, 1.0), 4)
    assert length - 4 >= np.ceil(0.5 * (length - 2))
    assert length - 1 - 4 < np.ceil(0.5 * (length - 3))
    assert least_interactions((1.0,), 1) == 3


@pytest.mark.parametrize(("shares", "steps"), [((0.0, 1.0), 2), ((0.5, 1.5), 2), ((0.5,), 0)])
def test_shares_and_steps_that_say_nothing_are_refused(shares, steps):
    with pytest.raises(StudyError, match="expected shares above 0"):
        streaming_study(shares=shares, steps=steps)


def test_the_front_holds_what_nothing_smaller_reaches():
    points = [(4.0, 0.9), (2.0, 0.95), (8.0, 1.0), (2.0, 0.8), (9.0, 1.0)]
    assert pareto_front(points) == [(2.0, 0.95), (8.0, 1.0)]
