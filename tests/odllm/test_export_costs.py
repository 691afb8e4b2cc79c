"""Costs of a budget in an exported graph: bytes as stored, times as the runtime takes them."""

import msgspec
import numpy as np
import pytest

from compression.allocation import Budget, break_even_rank, plan_ranks
from compression.errors import ConfigError
from compression.greedy import allocate
from odllm.byte_costs import byte_costs, matrix_bytes
from odllm.latency_costs import measure_latency, measured_ranks, read_latency, write_latency
from odllm_artifact import read_json, write_json
from odllm_export.errors import ExportError
from odllm_export.graph.builder import GraphBuilder, WeightFile
from odllm_export.graph.storage import storage_for
from odllm_export.precision import PRECISIONS, find_precision

SHAPES = {"k": (32, 64), "up": (96, 64)}


@pytest.mark.parametrize("name", [name for name in PRECISIONS if not name.startswith("int8-qdq")])
@pytest.mark.parametrize("size", [(64, 32), (40, 3), (200, 17)])
def test_bytes_are_those_that_the_exporter_stores(tmp_path, name, size):
    precision = find_precision(name)
    with WeightFile(tmp_path / "weights") as weights:
        graph = GraphBuilder(weights)
        storage_for(precision).matrix(graph, "w", np.ones(size, np.float32))
    lengths = [int(e.value) for one in graph.initializers for e in one.external_data if e.key == "length"]
    assert matrix_bytes(precision, *size) == sum(lengths)


def test_ranks_of_a_budget_of_bytes_know_what_blocks_waste():
    """The output factor's rows are filled up to whole blocks of 128: fewer ranks fit into half the bytes."""
    shapes = {"k": (256, 512), "up": (768, 512)}
    costs = byte_costs(find_precision("int4-block128"))
    plan, usual = plan_ranks(shapes, Budget(0.6, costs=costs)), plan_ranks(shapes, Budget(0.6))
    assert plan.cost(costs) <= 0.6 * sum(map(costs.dense, shapes.values())) < usual.cost(costs)
    assert plan.parameters_after < usual.parameters_after


@pytest.fixture(scope="module")
def table():
    return measure_latency(SHAPES.values(), find_precision("fp32"), ((9, 1), (4, 2)), rounds=2)


def test_every_shape_is_measured_dense_and_at_ranks_that_may_pay(table):
    assert [found.shape for found in table.shapes] == sorted(SHAPES.values())
    for found in table.shapes:
        assert list(found.ranks) == measured_ranks(found.shape, 8)
        assert all(rank % 8 == 0 and rank <= break_even_rank(found.shape) for rank in found.ranks)
        assert found.dense > 0
        assert sorted(found.factored) == list(found.factored)


def test_a_budget_of_time_is_spent_by_the_table(table):
    """With made-up times: whether factors of matrices as small as these pay is the machine's affair."""
    shapes = tuple(
        msgspec.structs.replace(
            one,
            dense=float(one.shape[0] * one.shape[1]),
            factored=tuple(float(rank * sum(one.shape)) for rank in one.ranks),
        )
        for one in table.shapes
    )
    costs = msgspec.structs.replace(table, shapes=shapes).costs()
    losses = {name: tuple(np.linspace(1, 0, min(shape) + 1)) for name, shape in SHAPES.items()}
    for plan in (
        allocate(SHAPES, losses, Budget(0.97, multiple=8, costs=costs)),
        plan_ranks(SHAPES, Budget(1.0, costs=costs)),
    ):
        assert plan.cost(costs) <= plan.keep_ratio * sum(map(costs.dense, SHAPES.values())) * (1 + 1e-9)


@pytest.mark.parametrize("name", ["int8-dynamic", "int4-block32"])
def test_rounded_products_are_measured_too(name):
    table = measure_latency([(32, 64)], find_precision(name), ((3, 1),), rounds=1)
    assert table.precision == name
    assert len(table.shapes) == 1


def test_a_precision_without_products_is_refused():
    with pytest.raises(ExportError, match="int8-qdq needs the activations' ranges"):
        measure_latency([(32, 64)], find_precision("int8-qdq"), ((3, 1),), rounds=1)


def test_a_table_survives_its_file(table, tmp_path):
    write_latency(table, tmp_path / "costs.json")
    assert read_latency(tmp_path / "costs.json", SHAPES.values(), find_precision("fp32")) == table


@pytest.mark.parametrize(
    ("change", "shapes", "precision", "message"),
    [
        ({"schema_version": 4}, [], "fp32", "schema_version is 4, expected 1"),
        ({"rounds": "many"}, [], "fp32", r"Expected `int`.*\$\.rounds"),
        ({}, [(7, 7)], "fp32", r"needed: at fp32, \[\(7, 7\)\]\. Name a file that does not exist yet"),
        ({}, [(32, 64)], "fp16", "holds costs at fp32 .* needed: at fp16, the same shapes"),
    ],
)
def test_a_table_of_something_else_is_refused(table, tmp_path, change, shapes, precision, message):
    path = tmp_path / "costs.json"
    write_latency(table, path)
    write_json(path, read_json(path) | change)
    with pytest.raises(ConfigError, match=message):
        read_latency(path, shapes, find_precision(precision))
