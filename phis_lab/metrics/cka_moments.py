"""The sums from which linear CKA follows, in one tensor that merges exactly in any order.

All are about the mean, of z = (x, y) side by side, with the squared norms |x|^2 and |y|^2 of its halves. The rows are:
count; mean of z; sum z |x|^2; sum z |y|^2; sum |x|^4; sum |x|^2 |y|^2; sum |y|^4; then the scatter sum z z^T.
"""

from functools import reduce

import torch
from torch import Tensor

from phis_lab.guards import require_tensors
from phis_lab.metrics.scatter import BLOCK_ROWS, merge_scatters, scatter_moments
from phis_lab.shapes import Float, Float64

SUMS = 7
HALVES = ((0, 0), (0, 1), (1, 1))


def cka_moments(
    x: Float[Tensor, "*rows dim_x"], y: Float[Tensor, "*rows dim_y"]
) -> Float64[Tensor, "sums dim_x+dim_y"]:
    """Returns the sums of all rows, in float64.

    Raises:
        ValueError: the rows of x and y differ, or hold NaN or inf.
    """
    require_tensors(x=x, y=y)
    if x.shape[:-1] != y.shape[:-1]:
        raise ValueError(f"x and y must be of the same rows, got the shapes {tuple(x.shape)} and {tuple(y.shape)}")
    rows_x, rows_y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    blocks = zip(rows_x.split(BLOCK_ROWS), rows_y.split(BLOCK_ROWS), strict=True)
    parts = (_of_block(*block) for block in blocks)  # one at a time: each is a matrix of all channels
    return reduce(lambda seen, new: merge_cka_moments(torch.stack([seen, new]), x.shape[-1]), parts)


def _of_block(x: Tensor, y: Tensor) -> Tensor:
    z = torch.cat([x.double(), y.double()], dim=1)
    moments = scatter_moments(z)
    z = z - moments[1]
    norms = torch.stack([half.square().sum(dim=1) for half in z.split([x.shape[1], y.shape[1]], dim=1)])
    fourth = torch.stack([norms[i] @ norms[j] for i, j in HALVES])
    return torch.cat([moments[:2], norms @ z, fourth[:, None].expand(-1, z.shape[1]), moments[2:]])


def merge_cka_moments(parts: Float64[Tensor, "parts sums dim"], dim_x: int) -> Float64[Tensor, "sums dim"]:
    """Merges the sums of disjoint parts into those of the whole.

    Each part moves from its own mean to that of all: with z' = z + d and sum z = 0, it is
    |x'|^2 = |x|^2 + 2 x.d_x + |d_x|^2, multiplied out. Nothing cancels, however large the mean.
    """
    merged = merge_scatters(torch.cat([parts[:, :2], parts[:, SUMS:]], dim=1))
    count, scatter = parts[:, :1, 0], parts[:, SUMS:]
    steps = parts[:, 1] - merged[1]
    halves = (slice(0, dim_x), slice(dim_x, None))
    traces = [scatter[:, half, half].diagonal(dim1=1, dim2=2).sum(dim=1, keepdim=True) for half in halves]
    lengths = [steps[:, half].square().sum(dim=1, keepdim=True) for half in halves]
    along = [(scatter[:, :, half] @ steps[:, half, None])[..., 0] for half in halves]
    third = [parts[:, 2 + i] + 2 * along[i] + steps * (traces[i] + count * lengths[i]) for i in range(2)]
    fourth = [
        parts[:, 4 + k]
        + 2 * _dot(steps[:, halves[j]], parts[:, 2 + i, halves[j]])
        + 2 * _dot(steps[:, halves[i]], parts[:, 2 + j, halves[i]])
        + 4 * _dot(steps[:, halves[i]], along[j][:, halves[i]])
        + lengths[j] * traces[i]
        + lengths[i] * traces[j]
        + count * lengths[i] * lengths[j]
        for k, (i, j) in enumerate(HALVES)
    ]
    sums = torch.stack([each.sum(dim=0) for each in (*third, *fourth)])
    return torch.cat([merged[:2], sums, merged[2:]])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=1, keepdim=True)


def statistics(
    moments: Float64[Tensor, "sums dim"], dim_x: int
) -> tuple[Float64[Tensor, ""], Float64[Tensor, "2 2"], Float64[Tensor, "2"], Float64[Tensor, "2 2"]]:
    """Returns the count, and of the sides i and j: |S_ij|_F^2, the traces of S_ii, and sum |z_i|^2 |z_j|^2."""
    scatter = moments[SUMS:]
    halves = (slice(0, dim_x), slice(dim_x, None))
    norms = torch.stack([torch.stack([scatter[a, b].square().sum() for b in halves]) for a in halves])
    traces = torch.stack([scatter[half, half].trace() for half in halves])
    xx, xy, yy = moments[4:SUMS, 0]
    return moments[0, 0], norms, traces, torch.stack([torch.stack([xx, xy]), torch.stack([xy, yy])])
