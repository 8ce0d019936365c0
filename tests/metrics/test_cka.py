import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.linalg import Moments
from phis_lab.metrics import CrossMoments, linear_cka

DIM_X, DIM_Y = 4, 3


def pair(rows=12, offset=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, DIM_X, generator=generator, dtype=torch.float64)
    y = x[:, :DIM_Y] + 0.5 * torch.randn(rows, DIM_Y, generator=generator, dtype=torch.float64)
    return x + offset, 3 * y - offset


def hsic(k, m):
    """Gretton's biased estimate, by n x n kernels and the centring matrix."""
    centring = np.eye(len(k)) - 1 / len(k)
    return np.trace(k @ centring @ m @ centring)


def hsic_unbiased(k, m):
    """Song et al. 2012, equation 5, literally."""
    n = len(k)
    k, m, one = k - np.diag(np.diag(k)), m - np.diag(np.diag(m)), np.ones(n)
    ends = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
    return (np.trace(k @ m) + ends) / (n * (n - 3))


def oracle(x, y):
    x, y = (side.double().numpy().reshape(-1, side.shape[-1]) for side in (x, y))
    kernels = x @ x.T, y @ y.T
    return {
        name: estimate(*kernels) / np.sqrt(estimate(kernels[0], kernels[0]) * estimate(kernels[1], kernels[1]))
        for name, estimate in (("cka", hsic), ("cka_unbiased", hsic_unbiased))
    }


def streamed(*batches):
    cross, moments = CrossMoments(DIM_X, DIM_Y, torch.device("cpu")), (Moments(DIM_X), Moments(DIM_Y))
    for batch in batches:
        cross.update(*batch)
        for side, rows in zip(moments, batch, strict=True):
            side.update(rows)
    return cross.cka(*moments)


def assert_matches(values, expected, rtol=1e-9):
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, rtol=rtol, err_msg=name)


@given(sizes=st.lists(st.integers(1, 5), min_size=4, max_size=6), seed=st.integers(0, 100))
def test_any_batches_give_both_estimates_of_hsic_by_kernels(sizes, seed):
    x, y = pair(sum(sizes), offset=1.0, seed=seed)
    assert_matches(linear_cka(x, y), oracle(x, y))
    assert_matches(streamed(*zip(x.split(sizes), y.split(sizes), strict=True)), oracle(x, y))


def test_a_mean_far_larger_than_the_spread_cancels_nothing():
    x, y = pair(60)
    far = [(a + 1e4, b - 1e4) for a, b in zip(x.split(7), y.split(7), strict=True)]
    assert_matches(streamed(*far), oracle(x, y), rtol=1e-7)


def test_more_rows_than_one_block_are_the_same_as_their_parts():
    x, y = pair(9000)
    assert_matches(linear_cka(x, y), streamed(*zip(x.split(2500), y.split(2500), strict=True)))


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_scale_and_rotation_of_a_side_change_nothing(scale, seed):
    x, y = pair(seed=seed)
    rotation = torch.linalg.qr(torch.randn(DIM_X, DIM_X, dtype=torch.float64)).Q
    assert_matches(linear_cka(scale * x @ rotation + 1, y), linear_cka(x, y), rtol=1e-7)


def test_a_representation_is_like_itself():
    x, _ = pair()
    assert_matches(linear_cka(x, x), {"cka": 1.0, "cka_unbiased": 1.0})


def test_unrelated_rows_fewer_than_channels_fool_the_plain_estimate_alone():
    x, y = torch.randn(2, 100, 900, generator=torch.Generator().manual_seed(0)).unbind()
    values = linear_cka(x, y)
    assert values["cka"] > 0.85
    assert abs(values["cka_unbiased"]) < 0.05


def test_the_sides_can_be_swapped():
    x, y = pair()
    assert_matches(linear_cka(y, x), linear_cka(x, y))


def test_a_constant_side_has_no_alignment():
    x, y = pair()
    assert linear_cka(torch.ones_like(x), y)["cka"].isnan()


def test_float32_tokens_are_taken_in_float64():
    x, y = (side.float().view(3, 2, 2, -1) for side in pair(offset=2.0))
    assert_matches(linear_cka(x, y), oracle(x, y))
    assert linear_cka(x, y)["cka"].dtype == torch.float64


def test_other_rows_and_other_channels_are_refused(unchecked_shapes):
    x, y = pair()
    with pytest.raises(ValueError, match="same rows"):
        linear_cka(x[1:], y)
    with pytest.raises(ValueError, match=r"of \[4, 3\] channels"):
        streamed((y, x))


def test_fewer_than_four_rows_are_refused():
    x, y = pair(3)
    with pytest.raises(ValueError, match="at least 4 rows, got 3"):
        linear_cka(x, y)
