"""Providers in environments of their own, where those are installed (`make providers`): lists and placement."""

import pytest

from mobile_bench import protocol
from mobile_bench.cell import make_cells
from mobile_bench.device_kind import device_kind, environment_of
from mobile_bench.environments import provider_state
from mobile_bench.host import measure
from mobile_bench.placement import CPU, PRODUCTS
from mobile_bench.protocol import Settings
from odllm_export.export import ExportOptions, export_bundle

QUICK = Settings(
    min_seconds=0, min_calls=4, min_rounds=2, warm_loads=1, memory_calls=1, warm_up_calls=1, energy_seconds=0
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def make_bundle(make_model_folder, make_dataset, tmp_path):
    def make(**options):
        folder, _ = make_model_folder()
        out = tmp_path / options["form"]
        export_bundle(folder, make_dataset(), out, ExportOptions(num_beams=6, top_k=5, golden=4, **options))
        return out

    return make


def require(provider):
    state = provider_state(provider)
    if state.state not in ("installed", "environment"):
        pytest.skip(f"{provider} is not installed: {state.where}")
    if device_kind(provider) == "software-gpu" and not environment_of(provider):
        pytest.skip("there is neither a graphics processor nor a browser with a software driver")


@pytest.mark.parametrize(
    ("provider", "options"),
    [
        ("openvino", {"form": "steps"}),
        ("openvino", {"form": "steps", "precision": "int8-qdq16"}),
        ("qnn", {"form": "steps"}),
        ("qnn", {"form": "steps", "precision": "int8-qdq16"}),
        ("webgpu", {"form": "loop"}),
        ("webgpu", {"form": "steps"}),
        ("cuda", {"form": "loop"}),
    ],
)
def test_provider_runs_the_products_and_gives_the_models_lists(make_bundle, provider, options):
    require(provider)
    results = measure([make_bundle(**options)], providers=[provider], settings=QUICK)
    assert not results.failures
    (record,) = results.records
    placement = record.execution.placement
    assert placement.products_taken > 0.7 * placement.products
    assert record.agreement.overlap >= 0.9
    assert (record.time_to_top_k is None) == (device_kind(provider) not in ("host", "phone"))


@pytest.mark.parametrize(("provider", "why"), [("qnn", "none of the"), ("openvino", "Attention")])
def test_what_a_provider_cannot_run_is_a_failed_row(make_bundle, provider, why):
    require(provider)
    results = measure([make_bundle(form="loop")], providers=[provider, "cpu"], settings=QUICK)
    assert [record.execution.provider for record in results.records] == ["cpu"]
    assert why in results.failures[0].reason


def test_a_bundle_opened_twice_in_one_process_stays_on_the_provider(make_bundle):
    """A plugin that is registered once is listed among the runtime's own providers from then on."""
    require("qnn")
    (cell,) = make_cells([make_bundle(form="steps")], ["qnn"], [1])
    with cell.start_worker() as worker:
        worker.ask(protocol.MeasureLoad(*cell.opening), protocol.LoadReply, timeout_s=120)
        found = worker.ask(protocol.Inspect(*cell.opening), protocol.InspectReply, timeout_s=120)
    assert not [node for node in found.nodes if node[1] in PRODUCTS and node[2] == CPU]
