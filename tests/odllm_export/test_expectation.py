"""What providers are expected to take: small graphs against the documented tables."""

import onnx
import pytest
from onnx import TensorProto

from odllm_export.bundle import GRAPH
from odllm_export.expectation import expectations, placed_nodes, refusal
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.provider_ops import Kernel, Provider, providers, schemas

PRODUCT = '<ir_version: 10, opset_import: ["" : 23]> g ({a}) => (float[?,4] y) <{b}> {{ y = MatMul(x, w) }}'
WEIGHTS = "float[8,4] w = {" + ", ".join(["1"] * 32) + "}"

LOOP = """
<ir_version: 10, opset_import: ["" : 23]>
g (int64 n, bool go, float[2,4] x) => (float[2,4] y) {
    y = Loop (n, go, x) <body = b (int64 i, bool c, float[2,4] v) => (bool c2, float[2,4] w) {
        c2 = Identity (c)
        w = Add (v, v)
    }>
}
"""


def product(a="float[?,8] x", b=WEIGHTS):
    return onnx.parser.parse_model(PRODUCT.format(a=a, b=b))


def reasons(model, provider):
    """Return each operator's reasons for not being taken by a provider."""
    (found,) = (one for one in expectations(model) if one.provider == provider)
    return {one.operator: set(one.reasons) for one in found.refused}


@pytest.fixture
def exported_graph(make_model_folder, make_dataset, tmp_path):
    def export(precision):
        folder, _ = make_model_folder()
        export_bundle(folder, make_dataset(), tmp_path / "bundle", ExportOptions(precision=precision))
        return onnx.load(tmp_path / "bundle" / GRAPH, load_external_data=False)

    return export


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic", "int8-block32", "int4-block32"])
def test_the_cpu_takes_every_node_of_every_bundle(exported_graph, precision):
    cpu = expectations(exported_graph(precision))[0]
    assert cpu.refused == []
    assert cpu.taken == cpu.nodes > cpu.decoder_taken == cpu.decoder_nodes > cpu.products > 0


def test_rounded_products_are_left_by_the_providers_that_have_no_kernel_for_them(exported_graph):
    found = {one.provider: one for one in expectations(exported_graph("int8-dynamic"))}
    for name in ("xnnpack", "webgpu", "cuda"):
        refused = {one.operator: one.reasons for one in found[name].refused}
        (reason,) = refused["com.microsoft:MatMulIntegerToFloat"]
        assert reason in ("no kernel for the operator", "not in its list of operators")
    assert found["nnapi"].products_taken == found["qnn"].products_taken == found["coreml"].products_taken == 0


def test_bodies_count_where_a_provider_enters_them():
    model = onnx.parser.parse_model(LOOP)
    assert [node.in_body for node in placed_nodes(model)] == [False, True, True]
    assert "Add" not in reasons(model, "webgpu")
    for name in ("nnapi", "qnn", "coreml"):
        assert reasons(model, name)["Add"] == {"in the body of a Loop or If, which it does not enter"}


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        (product(), "xnnpack", {}),
        (product(), "nnapi", {"MatMul": {"an input of dynamic shape"}}),
        (product(a="float[3,8] x"), "nnapi", {}),
        (product(a="float[?,8] x, float[8,4] w", b=""), "xnnpack", {"MatMul": {"an operand that is not constant"}}),
        (product(a="float[2,3,5,8] x"), "xnnpack", {"MatMul": {"an operand of rank 4"}}),
        (product(a="int64[3,8] x, int64[8,4] w", b=""), "webgpu", {"MatMul": {"no kernel for int64"}}),
    ],
    ids=["constant weights", "dynamic", "static", "variable weights", "rank", "type"],
)
def test_reasons(model, provider, expected):
    assert reasons(model, provider) == expected


def test_nodes_that_are_folded_at_load_are_not_counted():
    text = '<ir_version: 10, opset_import: ["" : 23]> g (float[2] x) => (float[2] y) '
    model = onnx.parser.parse_model(text + "<float16[2] h = {1, 2}> { w = Cast <to = 1> (h)  y = Add (x, w) }")
    assert [node.name for node in placed_nodes(model)] == ["Add"]
    (add,) = placed_nodes(model)
    assert add.inputs[1].constant
    assert add.inputs[1].type == "float"


@pytest.mark.parametrize(
    ("kernel", "versions"),
    [(Kernel(13, 18, {}), {13, 18}), (Kernel(13, 2**31 - 1, {}), {13}), (Kernel(23, 23, {}), {23})],
    ids=["range", "without an end", "one version"],
)
def test_a_kernel_without_a_last_version_serves_its_first_only(kernel, versions):
    assert {version for version in (7, 13, 18, 19, 23) if kernel.serves(version)} == versions


def test_an_operator_that_changed_since_its_kernel_is_refused_by_version():
    model = onnx.parser.parse_model(LOOP)
    (loop, *_) = placed_nodes(model)
    provider = Provider("old", "Old", "nowhere", True, True, kernels={"Loop": [Kernel(19, 2**31 - 1, {})]})
    assert refusal(provider, loop, 23) == "no kernel for version 23 of the operator"
    assert refusal(provider, loop, 20) is None


def test_every_kernel_of_the_tables_is_of_an_operator_and_type_that_exist():
    known, types = schemas(25), {str(name).lower() for name in TensorProto.DataType.keys()}  # noqa: SIM118
    for name in ("webgpu", "cuda"):
        table = providers()[name].kernels
        removed = {"Upsample", "Scatter"}
        assert {operator for operator in table if operator not in known} <= removed
        for kernels in table.values():
            for kernel in kernels:
                assert all(allowed <= types for allowed in kernel.types.values())


def test_every_provider_says_where_its_operators_are_written():
    assert list(providers()) == ["cpu", "xnnpack", "nnapi", "qnn", "coreml", "webgpu", "cuda"]
    for provider in providers().values():
        assert provider.source
        assert bool(provider.kernels) != bool(provider.listed)
