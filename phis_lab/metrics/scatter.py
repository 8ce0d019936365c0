"""Count, mean and scatter of all channels together, in one tensor that merges exactly in any order."""

import torch
from torch import Tensor

from phis_lab.guards import require_tensors
from phis_lab.linalg import Moments
from phis_lab.shapes import Float, Float64

BLOCK_ROWS = 4096


def scatter_moments(x: Float[Tensor, "*tokens dim"]) -> Float64[Tensor, "rows dim"]:
    """Returns the rows (count, mean, the dim rows of S = sum (x - mean)(x - mean)^T) over all tokens, in float64.

    Raises:
        ValueError: a token holds NaN or inf.
    """
    require_tensors(x=x)
    dim = x.shape[-1]
    moments = Moments(dim)
    for block in x.reshape(-1, dim).split(BLOCK_ROWS):
        moments.update(block)
    state = moments.state_dict()
    return torch.cat([state["count"].double().expand(1, dim).to(x.device), state["mean"][None], state["scatter"]])


def merge_scatters(moments: Float64[Tensor, "parts rows dim"]) -> Float64[Tensor, "rows dim"]:
    """Merges the moments of disjoint parts into those of the whole.

    With n = sum n_i, m = sum n_i m_i / n and d_i = m_i - m it is S = sum S_i + n_i d_i d_i^T (Chan, Golub and
    LeVeque): nothing cancels, however large the mean is beside the spread.
    """
    counts, means, scatters = moments[:, :1, 0], moments[:, 1], moments[:, 2:]
    count = counts.sum(dim=0)
    mean = (counts * means).sum(dim=0) / count.clamp_min(1)
    steps = counts.sqrt() * (means - mean)
    return torch.cat([count.expand(1, len(mean)), mean[None], scatters.sum(dim=0) + steps.T @ steps])
