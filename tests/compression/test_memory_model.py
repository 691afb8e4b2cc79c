import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from compression.config import CompressionConfig, preset
from compression.memory_model import estimate_memory
from compression.time_model import estimate_flops, time_class
from mobile_bench.baselines.large_model import large_shape, write_large_model

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
    """Shifted moments of the MLP's 11,008 activations, and the cross moment of its output; for the paper dense ones."""
    assert estimate().statistics == 8 * (11008**2 + 4096 * 11008)
    assert estimate(preset("paper")).statistics == 8 * (2 * 11008**2 + 4096 * 11008)


@pytest.mark.parametrize("name", ["without-gradients", "paper", "svd-llm", "whitened", "plain-svd"])
def test_a_7b_model_fits_8_gib_beside_the_calibration(name):
    found = estimate(preset(name), batch_positions=1600, embedding=(32000, 4096))
    assert found.peak - found.activations < 8 << 30


def test_gradients_need_the_whole_model_and_a_matrix_for_every_output():
    found = estimate(preset("default"), embedding=(32000, 4096))
    assert found.importance == 8 * 3 * (5 * 4096**2 + 2 * 11008**2)
    assert found.gradients > 4 * sum(rows * columns for rows, columns in SHAPES.values())
    assert found.peak > found.runtime + found.importance + found.gradients - 1
    assert (estimate().importance, estimate().gradients) == (0, 0)


def test_activations_grow_with_the_calibration_and_nothing_else_does():
    small, large = estimate(), estimate(positions=2 * 8192)
    assert large.activations == 2 * small.activations == 4 * 2 * 8192 * 4096 * 2
    assert large.peak - small.peak == large.activations - small.activations


def test_the_peak_is_the_blocks_or_the_embedding():
    found = estimate(resident_bytes=1000)
    parts = (found.runtime, found.resident, found.block, found.activations, found.statistics, found.temporaries)
    assert found.peak == sum(parts)
    assert found.resident == 1000
    wide = estimate(embedding=(10**6, 4096))
    assert wide.peak == wide.runtime + wide.activations + 2 * 4 * 10**6 * 4096


def test_depth_costs_no_memory_but_time():
    one = {name: shape for name, shape in SHAPES.items() if ".0." in name}
    options = {"positions": 8192, "batch_positions": 512}
    assert estimate_memory(one, CompressionConfig(), **options).peak == estimate().peak
    flops = [estimate_flops(shapes, CompressionConfig(), tokens=8192) for shapes in (one, SHAPES)]
    assert flops[1] == pytest.approx(3 * flops[0])


@pytest.mark.parametrize(
    ("flops", "words"),
    [(1e9, "less than a minute"), (5e12, "minutes"), (3e13, "tens of minutes"), (1e15, "hours"), (1e17, "days")],
)
def test_time_is_said_in_words(flops, words):
    assert time_class(flops) == words


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("hidden", "intermediate", "layers", "words", "dtype"),
    [
        (512, 1408, 24, 4000, torch.float32),
        (1024, 2816, 1, 30000, torch.float32),
        (512, 1408, 24, 40000, torch.bfloat16),
    ],
)
def test_the_estimate_is_within_a_quarter_of_what_a_fresh_process_takes(
    tmp_path, hidden, intermediate, layers, words, dtype
):
    shape = large_shape(hidden, layers, hidden // 64, hidden // 64, intermediate, words)
    write_large_model(shape, 1.0, tmp_path / "model", dtype=dtype)
    command = [sys.executable, "-m", "mobile_bench.baselines.large_compression", str(tmp_path / "model")]
    options = ["--out", str(tmp_path / "out"), "--sequences", "16", "--tokens", "96", "--batch", "8"]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*command, *options],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )
    found = json.loads(done.stdout)
    assert 0.75 < found["peak_bytes"] / found["estimated_bytes"] < 1.25
    if layers > 20 and dtype == torch.float32:  # and the whole model was never there
        held = found["peak_bytes"] - found["runtime_bytes"]
        assert held < sum(path.stat().st_size for path in (tmp_path / "model").glob("*.safetensors"))
