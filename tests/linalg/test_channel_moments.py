import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from phis_lab.linalg import channel_moments, merge_moments


def tokens(count, channels=3, offset=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return offset + torch.randn(count, channels, generator=generator, dtype=torch.float64)


def test_moments_are_count_mean_and_squared_deviations():
    x = tokens(50).reshape(5, 10, 3)
    flat = x.reshape(50, 3).numpy()
    expected = [np.full(3, 50.0), flat.mean(0), 50 * flat.var(0)]
    np.testing.assert_allclose(channel_moments(x), expected)


@given(sizes=st.lists(st.integers(0, 7), min_size=1, max_size=5), seed=st.integers(0, 100))
def test_merged_parts_equal_the_whole_in_any_order(sizes, seed):
    x = tokens(sum(sizes), seed=seed)
    parts = torch.stack([channel_moments(part) for part in x.split(sizes)])
    assert_close(merge_moments(parts), channel_moments(x))
    assert_close(merge_moments(parts.flip(0)), channel_moments(x))


def test_a_mean_far_larger_than_the_spread_cancels_nothing():
    x = tokens(4000, offset=1e8)
    merged = merge_moments(torch.stack([channel_moments(part) for part in x.split(37)]))
    np.testing.assert_allclose(merged[2] / merged[0], x.numpy().var(0), rtol=1e-8)
