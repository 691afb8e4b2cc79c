"""Which passes are run: fewer than levels where the trie allows, and never another list."""

import numpy as np
import onnx
import onnxruntime
import pytest
from graph_tools import assert_same_lists, export, question

from lcrec.catalog import build_catalog
from odllm_export.engine import session_options


def a_catalog(codes, sizes):
    return build_catalog(np.array(codes), sizes, [f"i{row}" for row in range(len(codes))])


def random_codes(items, sizes, seed=0):
    return np.random.default_rng(seed).integers(0, sizes, (items, len(sizes)))


def unbranched_from(level, items, sizes, seed=0):
    """Return codes whose prefixes of `level` codes are all different: below them nothing branches."""
    codes = random_codes(items, sizes, seed)
    distinct = np.unravel_index(np.arange(items), sizes[:level])
    codes[:, :level] = np.stack(distinct, axis=1)
    return codes


def fed_nodes(folder, catalog, history, blocked=()):
    """Return the trie nodes of the tokens that the passes behind the prompt fed, in order."""
    model = onnx.load(folder / "graph.onnx", load_external_data=False)
    (loop,) = [node for node in model.graph.node if node.op_type == "Loop"]
    names = [entry.name for entry in loop.attribute[0].g.input][2:]
    columns = loop.output[names.index("columns")]
    model.graph.output.append(onnx.helper.make_tensor_value_info(columns, onnx.TensorProto.INT32, [None]))
    onnx.save(model, folder / "watched.onnx")
    session = onnxruntime.InferenceSession(str(folder / "watched.onnx"), session_options(1))
    (found,) = session.run([columns], question(session, catalog, history, blocked))
    return found[found > 0]


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
@pytest.mark.parametrize("ahead", [0, 7, 1000])
@pytest.mark.parametrize(
    "sizes",
    [(3, 5), (1, 1), (4, 3, 2), (2, 2, 2, 2), (5, 1, 4, 1), (3, 2, 1, 3, 2), (2, 3, 2, 2, 2, 3)],
    ids=lambda sizes: "x".join(map(str, sizes)),
)
def test_every_depth_with_and_without_feeding_ahead(make_model_folder, make_prompt, tmp_path, sizes, ahead, scoring):
    folder, prompt = make_model_folder(sizes=sizes)
    session = export(folder, prompt, tmp_path, levels=len(sizes), scoring=scoring, ahead=ahead)
    for seed, items in enumerate((40, 9, 1)):
        catalog = a_catalog(random_codes(items, sizes, seed), sizes)
        assert_same_lists(session, folder, prompt, catalog, scoring=scoring, cases=4, seed=seed)


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_tries_that_stop_branching(make_model_folder, tmp_path, level, scoring):
    sizes = (24, 4, 3, 5)
    folder, prompt = make_model_folder(sizes=sizes)
    catalog = a_catalog(unbranched_from(level, 24, sizes), sizes)
    session = export(folder, prompt, tmp_path, levels=4, scoring=scoring)
    assert_same_lists(session, folder, prompt, catalog, scoring=scoring)


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
@pytest.mark.parametrize("sizes", [(4096, 2), (2, 4096), (3, 4096, 2)], ids=lambda sizes: "x".join(map(str, sizes)))
def test_wide_nodes(make_model_folder, tmp_path, sizes, scoring):
    folder, prompt = make_model_folder(sizes=sizes)
    first = np.stack(np.unravel_index(np.arange(4096), (sizes[-1], 4096))[::-1], axis=1)
    codes = np.concatenate([random_codes(600, sizes), random_codes(4096, sizes)])
    codes[600:, int(np.argmax(sizes))] = first[:, 0]  # every code of the wide level occurs
    catalog = a_catalog(codes, sizes)
    session = export(folder, prompt, tmp_path, levels=len(sizes), scoring=scoring, ahead=40)
    assert_same_lists(session, folder, prompt, catalog, scoring=scoring, cases=4)


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
def test_a_narrow_chain_that_branches_only_at_the_end(make_model_folder, tmp_path, scoring):
    sizes = (1, 1, 1, 12)
    folder, prompt = make_model_folder(sizes=sizes)
    catalog = a_catalog([[0, 0, 0, code] for code in range(12)], sizes)
    for ahead in (0, 100):
        out = tmp_path / str(ahead)
        out.mkdir()
        session = export(folder, prompt, out, levels=4, scoring=scoring, ahead=ahead)
        assert_same_lists(session, folder, prompt, catalog, scoring=scoring)


def test_no_pass_behind_the_prompt_where_the_first_code_decides(make_model_folder, tmp_path):
    sizes = (12, 4, 4)
    folder, prompt = make_model_folder(sizes=sizes)
    export(folder, prompt, tmp_path, levels=3)
    catalog = a_catalog(unbranched_from(1, 12, sizes), sizes)
    assert len(fed_nodes(tmp_path, catalog, [1, 2])) == 0


def test_only_beams_that_branch_are_fed(make_model_folder, tmp_path):
    sizes = (6, 4, 4)
    folder, prompt = make_model_folder(sizes=sizes)
    export(folder, prompt, tmp_path, levels=3, ahead=0)
    codes = [[first, 0, 0] for first in range(6)] + [[2, 1, 0]]
    catalog = a_catalog(codes, sizes)
    fed = fed_nodes(tmp_path, catalog, [1, 2])
    assert catalog.node_code[fed].tolist() == [2]  # the one first code with two second codes
    # Its second child is blocked: nothing is left to decide.
    assert len(fed_nodes(tmp_path, catalog, [1, 2], blocked=[6])) == 0


def test_a_skipped_token_is_fed_when_its_descendant_branches(make_model_folder, tmp_path):
    sizes = (2, 2, 2, 2)
    folder, prompt = make_model_folder(sizes=sizes)
    session = export(folder, prompt, tmp_path, levels=4, ahead=0)
    catalog = a_catalog([[0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 0]], sizes)
    fed = fed_nodes(tmp_path, catalog, [1, 2])
    assert catalog.node_code[fed].tolist() == [0, 2, 4]  # the whole path 0, 0, 0 in one pass
    assert_same_lists(session, folder, prompt, catalog, scoring="codes")


def test_children_of_few_beams_are_fed_with_them(make_model_folder, tmp_path):
    sizes = (3, 2, 2)
    folder, prompt = make_model_folder(sizes=sizes)
    catalog = a_catalog(np.stack(np.unravel_index(np.arange(12), sizes), axis=1), sizes)
    passes = {}
    for ahead in (5, 6):
        out = tmp_path / str(ahead)
        out.mkdir()
        export(folder, prompt, out, levels=3, scoring="vocab", ahead=ahead, num_beams=3)
        passes[ahead] = len(fed_nodes(out, catalog, [1, 2]))
    assert passes[5] == 3 + 3  # three beams, then the three that were kept
    assert passes[6] == 3 + 6  # three beams and all their children, at once


@pytest.mark.parametrize("form", ["loop", "unrolled"])
def test_more_tokens_in_a_pass_than_in_any_prompt(make_model_folder, make_prompt, tmp_path, form):
    sizes = (16, 16)
    folder, prompt = make_model_folder(prompt=make_prompt(sizes, max_items=1), sizes=sizes)
    session = export(folder, prompt, tmp_path, levels=2, scoring="vocab", num_beams=40, ahead=400, form=form)
    catalog = a_catalog(random_codes(300, sizes), sizes)
    assert_same_lists(session, folder, prompt, catalog, scoring="vocab", num_beams=40, cases=4)


def test_all_blocked_below_a_beam(make_model_folder, tmp_path):
    sizes = (3, 2, 2)
    folder, prompt = make_model_folder(sizes=sizes)
    session = export(folder, prompt, tmp_path, levels=3, num_beams=20)
    catalog = a_catalog(np.stack(np.unravel_index(np.arange(12), sizes), axis=1), sizes)
    feed = question(session, catalog, [0, 5], blocked=range(4))
    rows, _ = session.run(["items", "scores"], feed)
    assert sorted(rows.tolist()) == list(range(4, 12))
