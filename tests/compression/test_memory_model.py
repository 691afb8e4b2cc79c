import pytest

from compression.config import CompressionConfig, preset
from compression.memory_model import estimate_memory
from compression.time_model import estimate_flops, time_class

BLOCK_7B = {
    "self_attn.q_proj": (4096, 4096),
    "self_attn.k_proj": (4096, 4096),
    "self_attn.v_proj": (4096, 4096),
    "self_attn.o_proj": (4096, 4096),
    "mlp.gate_proj": (11008, 4096),
    "mlp.up_proj": (11008, 4096),
    "mlp.down_proj": (4096, 11008),
}
SHAPES = {f"model.layers.{block}.{name}": shape for block in range(3) for name, shape in BLOCK_7B.items()}


def estimate(config=None, **changes):
    options = {"positions": 8192, "batch_positions": 512}
    return estimate_memory(SHAPES, config or CompressionConfig(), **(options | changes))


def test_the_widest_inputs_decide_the_statistics():
    """Shifted and cross moments of the MLP's 11,008 activations, and the drift of the residual stream."""
    assert estimate().statistics == 8 * (2 * 11008**2 + 4096 * 11008)
    assert estimate(preset("paper")).statistics == 8 * 3 * 11008**2


def test_activations_grow_with_the_calibration_and_nothing_else_does():
    small, large = estimate(), estimate(positions=2 * 8192)
    assert large.activations == 2 * small.activations == 4 * 2 * 8192 * 4096 * 2
    assert large.peak - small.peak == large.activations - small.activations


def test_the_peak_is_the_sum_of_its_parts():
    found = estimate(resident_bytes=1000)
    parts = (found.runtime, found.resident, found.block, found.activations, found.statistics, found.temporaries)
    assert found.peak == sum(parts)
    assert found.resident == 1000


def test_depth_costs_no_memory_but_time():
    one = {name: shape for name, shape in SHAPES.items() if ".0." in name}
    options = {"positions": 8192, "batch_positions": 512}
    assert estimate_memory(one, CompressionConfig(), **options) == estimate()
    flops = [estimate_flops(shapes, CompressionConfig(), tokens=8192) for shapes in (one, SHAPES)]
    assert flops[1] == pytest.approx(3 * flops[0])


@pytest.mark.parametrize(
    ("flops", "words"),
    [(1e9, "less than a minute"), (5e12, "minutes"), (3e13, "tens of minutes"), (1e15, "hours"), (1e17, "days")],
)
def test_time_is_said_in_words(flops, words):
    assert time_class(flops) == words
