"""The unrolled form: the loop form's lists, and no loop."""

import numpy as np
import onnx
import pytest
from graph_tools import assert_same_lists, export, question
from random_models import factor

from lcrec.catalog import build_catalog


@pytest.mark.parametrize("sizes", [(5, 7), (4, 3, 2), (2, 3, 4, 5), (1, 4, 1, 4, 2), (2,) * 6], ids=len)
@pytest.mark.parametrize("scoring", ["codes", "vocab"])
def test_every_depth(make_model_folder, make_catalog, tmp_path, sizes, scoring):
    folder, prompt = make_model_folder(sizes=sizes)
    session = export(folder, prompt, tmp_path, levels=len(sizes), scoring=scoring, form="unrolled")
    for items, seed in ((40, 0), (3, 1)):
        catalog = make_catalog(items=items, sizes=sizes, seed=seed)
        assert_same_lists(session, folder, prompt, catalog, scoring=scoring, cases=4)


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
@pytest.mark.parametrize("num_beams", [1, 6, 100])
def test_factored_models_and_any_number_of_beams(make_model_folder, make_catalog, tmp_path, num_beams, scoring):
    folder, prompt = make_model_folder(change=factor(keep_every=2), tie_word_embeddings=False)
    options = {"levels": 3, "scoring": scoring, "num_beams": num_beams}
    session = export(folder, prompt, tmp_path, form="unrolled", **options)
    assert_same_lists(session, folder, prompt, make_catalog(), scoring=scoring, num_beams=num_beams)


@pytest.mark.parametrize("scoring", ["codes", "vocab"])
def test_dead_beams_beside_living_ones(make_model_folder, tmp_path, scoring):
    """Parents of one child next to parents of many: dead candidates stand at their neighbours' nodes."""
    sizes = (4, 6, 3)
    folder, prompt = make_model_folder(sizes=sizes)
    codes = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 2, 0], [1, 3, 1], [2, 0, 0], [3, 5, 2], [3, 5, 1]]
    catalog = build_catalog(np.array(codes), sizes, [f"i{row}" for row in range(len(codes))])
    session = export(folder, prompt, tmp_path, levels=3, scoring=scoring, form="unrolled", num_beams=20)
    assert_same_lists(session, folder, prompt, catalog, scoring=scoring, num_beams=20)


def test_a_cached_call_returns_what_an_uncached_one_does(make_model_folder, make_catalog, tmp_path):
    folder, prompt = make_model_folder()
    session, catalog = export(folder, prompt, tmp_path, levels=3, form="unrolled"), make_catalog()
    first = question(session, catalog, [7, 3]) | {"return_cache": np.ones(1, np.bool_)}
    (cache,) = session.run(["next_kv_cache"], first)
    assert cache.shape[3] == prompt.reusable(2)
    feed = question(session, catalog, [7, 3, 40], blocked=[1])
    plain = session.run(["items", "scores"], feed)
    cached = session.run(["items", "scores"], feed | {"kv_cache": cache, "cached_tokens": np.array([cache.shape[3]])})
    np.testing.assert_array_equal(plain[0], cached[0])
    np.testing.assert_allclose(plain[1], cached[1], atol=1e-5)


def test_no_loop_and_the_weights_once(make_model_folder, make_catalog, tmp_path):
    folder, prompt = make_model_folder()
    export(folder, prompt, tmp_path, levels=3, form="loop")
    bytes_of_loop = (tmp_path / "graph.onnx.data").stat().st_size
    export(folder, prompt, tmp_path, levels=3, form="unrolled")
    assert (tmp_path / "graph.onnx.data").stat().st_size == bytes_of_loop
    graph = onnx.load(tmp_path / "graph.onnx", load_external_data=False).graph
    kinds = [node.op_type for node in graph.node]
    assert "Loop" not in kinds
    assert kinds.count("If") == 2  # which cache, and whether anything is blocked: before the first pass
    assert kinds.count("Attention") == 3 * 2  # levels × layers
