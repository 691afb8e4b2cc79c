"""Cells: their files, their keys, who is asked, and what their models are."""

import msgspec
import numpy as np
import pytest

from compression.checkpoint import load_model
from compression.config import preset
from lcrec.calibration import CalibrationRequest
from lcrec.dataset import load_dataset
from lcrec.errors import ItemCodesError
from lcrec.evaluate import popularity_ranker
from lcrec.train import dataset_facts
from odllm.calibrating import Calibrated
from odllm.compressing import compress_folder
from odllm.console import progress_bar
from odllm.evaluation import evaluate_target, split_users
from odllm.evaluation_targets import EvaluationProtocol
from odllm.studies.cells import DENSE, Cell, Recipe, cell_key, pack_ranks, read_result, unpack_ranks
from odllm.studies.errors import StudyError
from odllm.studies.making import Maker, early_part
from odllm.studies.protocol import Protocol, ask, draw_users
from odllm.studies.running import Bench, ranked, run_cells
from odllm_artifact import read_json, write_json

HALF = Recipe(config=preset("default"), sequences=20)


@pytest.fixture
def bench(study_case, tmp_path):
    model, dataset = study_case
    return Bench({DENSE: model}, dataset, Protocol(users=25, num_beams=4), tmp_path / "cells")


def test_packed_ranks_come_back():
    ranks = np.array([-1, 0, 7, 19, 300, -1])
    assert unpack_ranks(pack_ranks(ranks)).tolist() == ranks.tolist()
    assert len(pack_ranks(np.full(50_000, -1))) < 1000


def test_the_users_are_those_of_odllm_evaluate(make_dataset):
    dataset = make_dataset(users=40)
    histories, targets = split_users(dataset, "test", 15)
    ours, asked = ask(dataset, draw_users(dataset, Protocol(users=15)))
    assert asked.tolist() == targets.tolist()
    assert [h.tolist() for h in ours] == [h.tolist() for h in histories]


def test_zero_asks_all_users_whose_histories_are_long_enough(make_dataset):
    dataset = make_dataset(users=40)
    found = draw_users(dataset, Protocol(users=0, least_interactions=7))
    assert found.tolist() == [user for user, sequence in enumerate(dataset.sequences) if len(sequence) >= 7]
    with pytest.raises(StudyError, match="no user of toy has 99 interactions"):
        draw_users(dataset, Protocol(least_interactions=99))


def test_a_step_asks_for_an_item_given_all_before_it(make_dataset):
    dataset = make_dataset()
    histories, targets = ask(dataset, np.arange(12), step=2)
    for sequence, history, target in zip(dataset.sequences, histories, targets, strict=True):
        assert [*history, target] == sequence[:-1].tolist()


def test_the_early_part_holds_the_first_training_items_only(make_dataset):
    dataset = make_dataset(users=30)
    early = early_part(dataset, 0.5)
    for whole, part in zip(dataset.split().train, early.split().train, strict=True):
        assert part.tolist() == whole[: -(-len(whole) // 2)].tolist()
    assert all(np.array_equal(*pair) for pair in zip(early_part(dataset, 1).sequences, dataset.sequences, strict=True))


def test_the_dense_cell_is_what_odllm_evaluate_measures(bench, study_case):
    model, dataset = study_case
    (result,) = run_cells(bench, [Cell(label=DENSE, line=DENSE)])
    protocol = EvaluationProtocol(users=25, num_beams=4)
    expected = evaluate_target(model, load_dataset(dataset), protocol, baselines=False).rows["dense"]
    ranks = unpack_ranks(result.ranks)
    assert np.mean((ranks >= 0) & (ranks < 10)) == expected["hit_rate@10"]
    assert (result.users, result.keep_ratio, result.weight_bytes) == (25, 1.0, 4 * result.parameters)


def of_another_dataset(model):
    """Let a model say that it was trained on other codes."""
    card = read_json(model / "recommender.json")
    write_json(model / "recommender.json", card | {"dataset": {"name": "elsewhere", "codes.json_sha256": "0" * 64}})


def test_a_model_of_other_codes_is_refused_before_any_cell(bench, study_case):
    of_another_dataset(study_case[0])
    with pytest.raises(ItemCodesError, match="elsewhere"):
        run_cells(bench, [Cell(label=DENSE, line=DENSE)])
    assert not bench.cells_folder.exists()


def test_a_dataset_of_other_codes_calibrates_nothing(study_case):
    model, dataset = study_case
    of_another_dataset(model)
    with pytest.raises(ItemCodesError, match="elsewhere"):
        Maker(dataset, load_dataset(dataset)).make(model, HALF)


def test_the_early_part_calibrates_a_model_of_the_whole(study_case):
    model, dataset = study_case
    card = read_json(model / "recommender.json")
    facts = dataset_facts(load_dataset(dataset), dataset)
    write_json(model / "recommender.json", card | {"dataset": facts})
    recipe = msgspec.structs.replace(HALF, history_share=0.5)
    assert Maker(dataset, load_dataset(dataset)).make(model, recipe).calibration_tokens > 0


def test_a_made_model_is_the_one_of_odllm_compress(study_case, tmp_path):
    model, dataset = study_case
    made = Maker(dataset, load_dataset(dataset)).make(model, HALF)
    calibrated = Calibrated(model, dataset, CalibrationRequest(sequences=20))
    compress_folder(calibrated, tmp_path / "small", config=HALF.config, progress=progress_bar)
    expected = load_model(tmp_path / "small").state_dict()
    assert all(tensor.equal(expected[name]) for name, tensor in made.model.state_dict().items())
    assert made.calibration_tokens > 0


def test_rounding_leaves_the_kept_model_as_it_is(study_case):
    model, dataset = study_case
    maker = Maker(dataset, load_dataset(dataset))
    before = {name: tensor.clone() for name, tensor in maker.make(model, HALF).model.state_dict().items()}
    rounded = maker.make(model, msgspec.structs.replace(HALF, precision="int4-block32"))
    after = maker.make(model, HALF)
    assert all(tensor.equal(before[name]) for name, tensor in after.model.state_dict().items())
    assert rounded.weight_bytes < after.weight_bytes / 2
    assert rounded.projection_bytes < rounded.weight_bytes


def test_a_finished_cell_is_not_computed_again(bench, monkeypatch):
    cells = [Cell(label=DENSE, line=DENSE), Cell(label="half", line="half", recipe=HALF)]
    first = run_cells(bench, cells)

    def fail(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr("odllm.studies.running._compute", fail)
    again = Bench(bench.sources, bench.dataset_folder, bench.protocol, bench.cells_folder)
    assert run_cells(again, [*cells, msgspec.structs.replace(cells[1], label="of another study")]) == [*first, first[1]]


def test_a_stopped_run_keeps_what_was_finished(bench, monkeypatch):
    cells = [Cell(label=DENSE, line=DENSE), Cell(label="half", line="half", recipe=HALF)]
    from odllm.studies import running

    compute = running._compute

    def stop_at_second(bench, cell, progress):
        if cell.label == "half":
            raise KeyboardInterrupt
        return compute(bench, cell, progress)

    monkeypatch.setattr(running, "_compute", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        run_cells(bench, cells)
    assert len(list(bench.cells_folder.iterdir())) == 1
    monkeypatch.setattr(running, "_compute", compute)
    assert len(run_cells(bench, cells)) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": HALF},
        {"recipe": Recipe(seed=1)},
        {"recipe": Recipe(config=preset("default"))},
        {"recipe": Recipe(precision="int4-block32")},
        {"step": 2},
    ],
)
def test_what_decides_a_result_decides_its_key(change):
    cell = Cell(label=DENSE, line=DENSE)
    assert cell_key(cell, {}) != cell_key(msgspec.structs.replace(cell, **change), {})
    assert cell_key(cell, {}) != cell_key(cell, {"source": "other weights"})


def test_what_only_names_a_cell_does_not():
    assert cell_key(Cell(label="a", line="b", x=1), {}) == cell_key(Cell(label="c", line="d", x=2), {})


def test_a_damaged_cell_is_refused_by_name(tmp_path):
    (tmp_path / "cell.json").write_text('{"result": {"ranks": 3}}')
    with pytest.raises(StudyError, match=r"cell\.json is not a cell of a study"):
        read_result(tmp_path / "cell.json")


def test_progress_rises_to_the_end(bench):
    seen = []
    cells = [Cell(label=DENSE, line=DENSE), Cell(label="half", line="half", recipe=HALF)]
    run_cells(bench, cells, lambda done, total, note="": seen.append(done / total))
    assert seen[-1] == 1
    assert max(seen) == 1


def test_a_ranker_without_a_model_is_asked_the_same(bench):
    cell = Cell(label="popular", line="popular")
    result = ranked(bench, popularity_ranker(bench.dataset), cell)
    assert (result.users, result.parameters) == (25, 0)
