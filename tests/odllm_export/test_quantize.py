"""Rounding weights: what comes back is near, and as near as the bits allow."""

import numpy as np
import pytest

from odllm_export.quantize import balance, restore_blocks, restore_columns, round_blocks, round_columns


@pytest.fixture
def matrix():
    random = np.random.default_rng(0)
    return (random.standard_normal((72, 10)) * np.logspace(-3, 3, 10)).astype(np.float32)


def test_columns_come_back_within_half_a_step(matrix):
    rounded, scale = round_columns(matrix)
    assert rounded.dtype == np.int8
    assert np.abs(rounded.astype(int)).max() == 127
    error = np.abs(restore_columns(rounded, scale) - matrix)
    assert (error <= scale / 2 * 1.0001).all()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("block", [16, 32, 64, 128])
def test_blocks_come_back_within_a_step(matrix, bits, block):
    rounded, scale = round_blocks(matrix, bits, block)
    assert rounded.shape == (10, -(-72 // block), block * bits // 8)
    error = np.abs(restore_blocks(rounded, scale, bits, 72) - matrix)
    steps = np.repeat(np.abs(scale), block, axis=1)[:, :72].T
    # With 4 bits the end opposite to the largest entry is one step short.
    assert (error <= steps * (1.0001 if bits == 4 else 0.5001)).all()


def test_zeros_stay_zeros():
    zeros = np.zeros((32, 3), np.float32)
    assert not restore_columns(*round_columns(zeros)).any()
    assert not restore_blocks(*round_blocks(zeros, 4, 32), 4, 32).any()


def test_balanced_factors_have_the_same_product_and_equal_norms():
    random = np.random.default_rng(1)
    inner, outer = random.standard_normal((5, 20)), random.standard_normal((30, 5)) * np.logspace(0, 4, 5)
    balanced = balance(inner.astype(np.float32), outer.astype(np.float32))
    np.testing.assert_allclose(balanced[1] @ balanced[0], outer @ inner, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(np.linalg.norm(balanced[0], axis=1), np.linalg.norm(balanced[1], axis=0), rtol=1e-5)


def test_a_dead_component_balances_to_itself():
    inner, outer = np.zeros((1, 4), np.float32), np.ones((3, 1), np.float32)
    assert all(np.isfinite(factor).all() for factor in balance(inner, outer))
