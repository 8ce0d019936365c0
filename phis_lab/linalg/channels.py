"""Count, mean and squared deviations of every channel, in one tensor that merges exactly in any order."""

import torch
from torch import Tensor

from phis_lab.shapes import Float, Float64


def channel_moments(x: Float[Tensor, "*tokens channels"]) -> Float64[Tensor, "3 channels"]:
    """Returns the rows (count, mean, sum of squared deviations from the mean) over all tokens, in float64."""
    x = x.reshape(-1, x.shape[-1]).double()
    count = x.new_full((x.shape[-1],), len(x))
    mean = x.sum(dim=0) / count.clamp_min(1)
    return torch.stack([count, mean, (x - mean).square().sum(dim=0)])


def merge_moments(moments: Float64[Tensor, "parts 3 channels"]) -> Float64[Tensor, "3 channels"]:
    """Merges the moments of disjoint parts into those of the whole.

    With n = sum n_i and m = sum n_i m_i / n, the deviations are sum S_i + n_i (m_i - m)^2 (Chan, Golub and
    LeVeque). Unlike sums of squares this cancels nothing, however large the mean is beside the spread.
    """
    counts, means, deviations = moments.unbind(dim=1)
    count = counts.sum(dim=0)
    mean = (counts * means).sum(dim=0) / count.clamp_min(1)
    return torch.stack([count, mean, (deviations + counts * (means - mean).square()).sum(dim=0)])
