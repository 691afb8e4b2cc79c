"""A bundle that is small but real: manifest, hashes, catalogue, items, and a graph with the runtime's inputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lcrec.catalog import build_catalog, write_catalog
from lcrec.prompt import Prompt
from odllm_export.bundle import (
    CATALOG,
    GOLDEN,
    GRAPH,
    ITEMS,
    WEIGHTS,
    GraphFacts,
    Manifest,
    ModelFacts,
    SearchFacts,
    file_facts,
    write_manifest,
)
from odllm_export.graph_contract import KEY, shared_facts

BEAMS = 5
ITEM_COUNT = 20
WIDTH = 64
CODE_SIZES = (4, 8)


def first_items_graph() -> onnx.ModelProto:
    """A graph that always recommends the catalogue's first items, and multiplies a matrix so as to have work."""
    weights = np.linspace(1, 0, WIDTH * BEAMS, dtype=np.float32).reshape(WIDTH, BEAMS)
    constants = {
        "start": np.zeros(1, np.int64),
        "end": np.array([BEAMS], np.int64),
        "row_shape": np.array([1, 1], np.int64),
        "ones": np.ones((1, WIDTH), np.float32),
        "flat": np.array([-1], np.int64),
        "weights": weights,
    }
    nodes = [
        helper.make_node("Slice", ["item_order", "start", "end"], ["first"], name="slice"),
        helper.make_node("Cast", ["first"], ["items"], name="rows", to=TensorProto.INT64),
        helper.make_node("ReduceSum", ["history"], ["total"], name="total"),
        helper.make_node("Cast", ["total"], ["total_float"], name="to_float", to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["total_float", "row_shape"], ["scalar"], name="scalar"),
        helper.make_node("MatMul", ["scalar", "ones"], ["hidden"], name="widen"),
        helper.make_node("MatMul", ["hidden", "weights"], ["logits"], name="project"),
        helper.make_node("Reshape", ["logits", "flat"], ["scores"], name="flatten"),
        helper.make_node("Identity", ["kv_cache"], ["next_kv_cache"], name="cache"),
    ]
    int32 = {"child_start": 1, "node_code": 1, "live_items": 1, "item_path": 2, "item_order": 1, "level_width": 1}
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [None]) for name in ("history", "blocked")]
    inputs += [helper.make_tensor_value_info(name, TensorProto.INT32, [None] * rank) for name, rank in int32.items()]
    inputs += [
        helper.make_tensor_value_info("kv_cache", TensorProto.FLOAT, [1, 2, 1, None, WIDTH]),
        helper.make_tensor_value_info("cached_tokens", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("return_cache", TensorProto.BOOL, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("items", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None]),
        helper.make_tensor_value_info("next_kv_cache", TensorProto.FLOAT, [1, 2, 1, None, WIDTH]),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "first_items", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def write_bundle(folder: Path, *, name: str = "tiny", golden: list[list[str]] | None = None) -> Path:
    folder.mkdir(parents=True)
    ids = [f"item-{row}" for row in range(ITEM_COUNT)]
    codes = np.stack(np.unravel_index(np.arange(ITEM_COUNT), CODE_SIZES), axis=1)
    write_catalog(build_catalog(codes, CODE_SIZES, ids), folder / CATALOG)
    lines = (json.dumps({"id": item, "title": f"Title of {item}"}) for item in ids)
    (folder / ITEMS).write_text("".join(f"{line}\n" for line in lines))
    facts = tiny_manifest(folder, name, [])
    graph = first_items_graph()
    onnx.helper.set_model_props(graph, {KEY: shared_facts(facts.prompt, facts.search, facts.graph)})
    onnx.save(graph, folder / GRAPH, save_as_external_data=True, location=WEIGHTS, size_threshold=256)
    names = [GRAPH, WEIGHTS, CATALOG, ITEMS]
    if golden is not None:
        (folder / GOLDEN).write_text(json.dumps(golden_content(golden)))
        names.append(GOLDEN)
    write_manifest(tiny_manifest(folder, name, names), folder)
    return folder


def golden_content(histories: list[list[str]]) -> dict[str, object]:
    """What the graph answers: the first items, scored by the sum of the history's rows."""
    weights = np.linspace(1, 0, WIDTH * BEAMS, dtype=np.float32).reshape(WIDTH, BEAMS).sum(axis=0)
    cases = []
    for history in histories:
        total = sum(int(item.removeprefix("item-")) for item in history)
        scores = [float(total * weight) for weight in weights]
        items = [f"item-{row}" for row in range(BEAMS)]
        cases.append({"history": history, "blocked": [], "items": items, "scores": scores})
    return {"score_tolerance": 1e-3, "min_overlap": 1.0, "computed_by": "model", "cases": cases}


def tiny_manifest(folder: Path, name: str, names: list[str]) -> Manifest:
    return Manifest(
        name=name,
        files=file_facts(folder, names),
        model=ModelFacts(
            family="llama",
            layers=1,
            hidden=WIDTH,
            heads=1,
            kv_heads=1,
            parameters=WIDTH * BEAMS,
            keep_ratio=1.0,
            ranks={},
            precision="fp32",
        ),
        prompt=Prompt(
            prefix_ids=(1,),
            separator_ids=(2,),
            suffix_ids=(3,),
            max_items=6,
            code_sizes=CODE_SIZES,
            first_code_token=4,
        ),
        search=SearchFacts(num_beams=BEAMS, top_k=3, constraint="trie", scoring="vocab", ahead=0),
        graph=GraphFacts(
            form="loop",
            opset=21,
            onnxruntime="1.24",
            embedding_rows=[],
            kv_cache=[1, 2, 1, WIDTH],
            prefix_tokens=0,
            prepack=True,
        ),
        items=ITEM_COUNT,
        expected_peak_memory_bytes=1,
        provenance={},
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def golden_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    golden = [["item-3"], ["item-1", "item-2"]]
    return write_bundle(tmp_path_factory.mktemp("bundles") / "golden", name="golden", golden=golden)
