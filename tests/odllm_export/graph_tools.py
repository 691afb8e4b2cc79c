"""Exporting, asking and comparing graphs: what several test modules share."""

import numpy as np
import onnx
import onnxruntime

from compression.checkpoint import load_model
from lcrec.search import search
from odllm_export.engine import session_options
from odllm_export.families.registry import read_decoder
from odllm_export.graph.builder import WeightFile
from odllm_export.graph.passes import Search
from odllm_export.graph.recommender import build_recommender
from odllm_export.tensors import ModelTensors


def export(folder, prompt, out, *, levels, scoring="codes", num_beams=6, ahead=12, **options):
    search = Search(num_beams, scoring, levels, ahead)
    with ModelTensors(folder) as tensors, WeightFile(out / "graph.onnx.data") as weights:
        model = build_recommender(read_decoder(folder), tensors, prompt, search, weights, **options)
    onnx.save(model, out / "graph.onnx")
    onnx.checker.check_model(str(out / "graph.onnx"))
    return onnxruntime.InferenceSession(str(out / "graph.onnx"), session_options(1), providers=["CPUExecutionProvider"])


def question(session, catalog, history, blocked=()):
    (shape,) = [[0 if isinstance(n, str) else n for n in i.shape] for i in session.get_inputs() if i.name == "kv_cache"]
    feed = {
        "history": np.asarray(history, np.int64),
        "blocked": np.asarray(blocked, np.int64),
        "kv_cache": np.zeros(shape, np.float32),
        "cached_tokens": np.zeros(1, np.int64),
        "return_cache": np.zeros(1, np.bool_),
    }
    return feed | catalog.arrays()


def run(session, catalog, history, blocked=()):
    return session.run(["items", "scores"], question(session, catalog, history, blocked))


def assert_same_lists(session, folder, prompt, catalog, *, scoring, num_beams=6, cases=12, seed=0):
    model = load_model(folder)
    codes = catalog.item_code_rows - catalog.level_offsets
    random = np.random.default_rng(seed)
    for case in range(cases):
        history = random.integers(0, catalog.items, random.integers(1, prompt.max_items + 4))
        blocked = random.integers(0, catalog.items, random.integers(0, catalog.items)) if case % 2 else []
        rows, scores = run(session, catalog, history, blocked)
        (expected,) = search(
            model,
            [prompt.encode(codes[history])],
            catalog,
            prompt.first_code_token,
            num_beams=num_beams,
            scoring=scoring,
            blocked=[list(blocked)],
        )
        np.testing.assert_array_equal(rows, expected.rows)
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
