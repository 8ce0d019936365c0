"""Linear CKA from moments that are kept apart, against the same from all rows at once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from phis_lab.linalg import Moments
from phis_lab.metrics import CrossMoments, linear_cka

DIM_X, DIM_Y = 4, 3


def pair(rows=12, offset=0.0, seed=0):
    """Skewed and related sides, so that no third moment vanishes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, DIM_X, generator=generator, dtype=torch.float64).exp()
    y = x[:, :DIM_Y] + 0.5 * torch.randn(rows, DIM_Y, generator=generator, dtype=torch.float64)
    return x + offset, 3 * y - offset


def streamed(*batches, dims=(DIM_X, DIM_Y)):
    cross, moments = CrossMoments(*dims, torch.device("cpu")), [Moments(dim) for dim in dims]
    for batch in batches:
        cross.update(*batch)
        for side, rows in zip(moments, batch, strict=True):
            side.update(rows)
    return cross.cka(*moments)


@given(sizes=st.lists(st.integers(1, 5), min_size=4, max_size=6), seed=st.integers(0, 100))
def test_any_batches_give_the_cka_of_all_rows(sizes, seed):
    x, y = pair(sum(sizes), offset=1.0, seed=seed)
    assert_close(streamed(*zip(x.split(sizes), y.split(sizes), strict=True)), linear_cka(x, y))


def test_a_mean_far_larger_than_the_spread_cancels_nothing():
    x, y = pair(60)
    far = [(a + 1e4, b - 1e4) for a, b in zip(x.split(7), y.split(7), strict=True)]
    assert_close(streamed(*far), linear_cka(x, y), rtol=1e-6, atol=0)


def test_a_first_batch_unlike_all_others_changes_nothing():
    x, y = pair(60)
    x[:3], y[:3] = x[:3] + 100, y[:3] - 200
    batches = zip(x.split(3), y.split(3), strict=True)
    assert_close(streamed(*batches), linear_cka(x, y))


def test_more_rows_than_one_block_and_leading_axes_are_rows():
    x, y = (side.view(2, 600, -1).float() for side in pair(1200))
    assert_close(streamed((x, y)), linear_cka(x, y), rtol=1e-6, atol=0)


def test_one_sides_moments_serve_several_comparisons():
    x, y = pair()
    moments = Moments(DIM_X).update(x)
    for other in (y, 2 - y.flip(0)):
        cross = CrossMoments(DIM_X, DIM_Y, x.device)
        cross.update(x, other)
        assert_close(cross.cka(moments, Moments(DIM_Y).update(other)), linear_cka(x, other))


def test_other_rows_and_other_channels_are_refused(unchecked_shapes):
    x, y = pair()
    with pytest.raises(ValueError, match=r"same rows, of \[4, 3\] channels"):
        streamed((x[1:], y))
    with pytest.raises(ValueError, match=r"same rows, of \[4, 3\] channels"):
        streamed((y, x))


def test_moments_of_other_rows_are_refused():
    x, y = pair()
    cross = CrossMoments(DIM_X, DIM_Y, x.device)
    with pytest.raises(ValueError, match="no rows were added"):
        cross.cka(Moments(DIM_X), Moments(DIM_Y))
    cross.update(x, y)
    with pytest.raises(ValueError, match="moments of the same rows, got 12 and 5 rows, and 12 added here"):
        cross.cka(Moments(DIM_X).update(x), Moments(DIM_Y).update(y[:5]))


def test_fewer_than_four_rows_are_refused():
    with pytest.raises(ValueError, match="at least 4 rows, got 3"):
        streamed(pair(3))
