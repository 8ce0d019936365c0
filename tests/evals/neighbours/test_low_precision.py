import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.evals.neighbours.screening import above, maxima_of_positive, pieces

DTYPES = [torch.bfloat16, torch.float32]


@given(x=st.lists(st.floats(1e-30, 1e30), min_size=1), dtype=st.sampled_from(DTYPES))
def test_numbers_from_above_are_not_smaller_and_not_much_larger(x, dtype):
    exact = torch.tensor(x, dtype=torch.float64)
    rounded = above(exact, dtype).double()
    assert (rounded >= exact).all()
    assert (rounded <= exact * (1 + 2 * torch.finfo(dtype).eps)).all()


@given(x=st.lists(st.floats(-1, 1).filter(lambda x: x == 0 or abs(x) > 1e-20), min_size=1))
def test_three_pieces_of_bfloat16_keep_24_bits(x):
    exact = torch.tensor(x, dtype=torch.float64)
    total = pieces(exact, torch.bfloat16).double().sum(dim=1)
    assert ((total - exact).abs() <= 2**-24 * exact.abs()).all()


@pytest.mark.parametrize("dtype", DTYPES)
@given(seed=st.integers(0, 10_000), shift=st.sampled_from([-3.0, -1.0, 0.0, 1.0]))
def test_positive_maxima_are_right_and_others_are_members_that_are_not_positive(seed, shift, dtype):
    x = (torch.randn(4, 3, 50, generator=torch.Generator().manual_seed(seed)) + shift).to(dtype)
    x[0, 0, :10], x[1, :, 3], x[2, 1, 5] = -torch.inf, -0.0, torch.inf
    found, expected = maxima_of_positive(x), x.amax(1)
    positive = expected > 0
    assert torch.equal(found[positive], expected[positive])
    assert (found[~positive] <= 0).all()
    assert (found[:, None] == x).any(dim=1).all()
