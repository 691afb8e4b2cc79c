import pytest
import torch

from compression.moment_sum import _COLUMNS, MomentSum, at_least, product_dtype


def drawn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("columns", [1, _COLUMNS - 1, _COLUMNS, 2 * _COLUMNS + 3])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_a_symmetric_sum_is_whole_whatever_its_size(columns, dtype, rounding):
    rows = drawn(3, 7, columns, dtype=dtype)
    total = MomentSum(columns, None, rows.device)
    for part in rows:
        total.add(part)
    flat = rows.double().flatten(0, 1)
    mean = total.mean(21)
    assert mean.dtype == torch.float64
    torch.testing.assert_close(mean, flat.mT @ flat / 21, rtol=rounding, atol=rounding)
    assert torch.equal(mean, mean.mT)


def test_a_sum_of_two_factors_has_a_row_for_each_column_of_the_first():
    left, right = drawn(9, 4), drawn(9, 6) + 1
    total = MomentSum(4, 6, left.device)
    total.add(left[:5], right[:5])
    total.add(left[5:], right[5:])
    torch.testing.assert_close(total.mean(9), left.mT @ right / 9)


@pytest.mark.parametrize(("shrinkage", "dtype"), [(1e-4, torch.float32), (1e-6, torch.float64), (0.0, torch.float64)])
def test_products_are_rounded_only_where_the_shrinkage_hides_it(shrinkage, dtype):
    assert product_dtype(shrinkage) == dtype


def test_rows_are_never_made_less_precise():
    rows = drawn(3, 2)
    assert at_least(rows, torch.float32) is rows
    assert at_least(rows.to(torch.bfloat16), torch.float32).dtype == torch.float32
    assert at_least(rows.float(), torch.float64).dtype == torch.float64
