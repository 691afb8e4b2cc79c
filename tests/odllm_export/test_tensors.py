"""Checkpoints read in pieces, in every format that models come in, equal what torch reads at once."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from odllm_artifact import write_json
from odllm_export import quantize, tensors
from odllm_export.errors import TensorError
from odllm_export.tensors import ModelTensors, parameter_count, read_header


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(tensors, "_PIECE_BYTES", 200)
    monkeypatch.setattr(quantize, "_PIECE_ENTRIES", 100)


def folder_with(tmp_path, **values):
    save_file(values, tmp_path / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(23, 7), (5,), (3, 4, 5), (1, 300), (0, 4)])
def test_every_format_reads_as_torch_reads_it(tmp_path, dtype, shape):
    torch.manual_seed(0)
    value = (torch.randn(shape) * 100).to(dtype)
    with ModelTensors(folder_with(tmp_path, before=torch.zeros(3, dtype=dtype), x=value)) as found:
        taken = found.take("x", shape)
    np.testing.assert_array_equal(taken, value.to(torch.float32).numpy())
    assert taken.dtype == np.float32


def test_rows_come_in_the_order_that_they_were_asked_for(tmp_path):
    value = torch.randn(60, 7)
    rows = [59, 3, 3, 0, 41]
    with ModelTensors(folder_with(tmp_path, x=value)) as found:
        np.testing.assert_array_equal(found.take("x", (60, 7), rows=rows), value.numpy()[rows])
        with pytest.raises(TensorError, match="60 rows; row 60"):
            found.take("x", (60, 7), rows=[1, 60])


def test_a_row_that_is_not_asked_for_must_be_finite_too(tmp_path):
    value = torch.zeros(60, 7)
    value[50, 2] = torch.nan
    with ModelTensors(folder_with(tmp_path, x=value)) as found, pytest.raises(TensorError, match="not finite"):
        found.take("x", (60, 7), rows=[1])


def test_a_number_beyond_float32_is_not_finite(tmp_path):
    value = torch.full((3, 3), 1e300, dtype=torch.float64)
    with ModelTensors(folder_with(tmp_path, x=value)) as found, pytest.raises(TensorError, match="not finite"):
        found.take("x", (3, 3))


def test_shards_are_one_checkpoint_and_share_no_tensor(tmp_path):
    save_file({"x": torch.ones(4, 4)}, tmp_path / "a.safetensors")
    save_file({"y": torch.ones(2)}, tmp_path / "b.safetensors")
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}})
    with ModelTensors(tmp_path) as found:
        assert (found.take("x", (4, 4)).sum(), found.take("y", (2,)).sum()) == (16, 2)
        found.check_all_taken()
    assert parameter_count(tmp_path) == 18
    save_file({"y": torch.ones(2), "x": torch.ones(4, 4)}, tmp_path / "b.safetensors")
    with pytest.raises(TensorError, match=r"'x' in two files"):
        ModelTensors(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_a_truncated_file_is_refused_before_a_tensor_is_read(tmp_path, keep):
    path = folder_with(tmp_path, x=torch.ones(40, 4)) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TensorError, match="may be truncated"):
        read_header(path)


def test_a_file_that_shrinks_while_it_is_read_is_words(tmp_path):
    path = folder_with(tmp_path, x=torch.ones(40, 4)) / "model.safetensors"
    with ModelTensors(tmp_path) as found:
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(TensorError, match="cannot read tensor 'x'"):
            found.take("x", (40, 4))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(33, 40), (300, 3), (1, 7)])
def test_rounding_in_pieces_is_rounding_at_once(monkeypatch, shape, order):
    matrix = np.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32), order=order)
    pieces = [quantize.round_columns(matrix), *(quantize.round_blocks(matrix, bits, 32) for bits in (4, 8))]
    monkeypatch.setattr(quantize, "_PIECE_ENTRIES", 1 << 22)
    at_once = [quantize.round_columns(matrix), *(quantize.round_blocks(matrix, bits, 32) for bits in (4, 8))]
    for (rounded, scale), (expected, expected_scale) in zip(pieces, at_once, strict=True):
        np.testing.assert_array_equal(rounded, expected)
        np.testing.assert_array_equal(scale, expected_scale)
        assert rounded.flags.c_contiguous
