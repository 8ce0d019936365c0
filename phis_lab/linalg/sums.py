"""Count, mean and scatter of rows: of one batch, and of several sets of rows taken together."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from phis_lab.linalg.cpu import add_gram, numpy, numpy_gram
from phis_lab.shapes import Float, Float64, Int64

BLOCK_BYTES = 2**25
PIECE_ROWS = 128
BULK_ROWS = 8192
SAMPLE_ROWS = 256


@dataclass(frozen=True)
class Sums:
    """What a set of rows adds up to: the scatter is sum (x - mean)(x - mean)^T, or only its diagonal.

    Of a full scatter the upper triangle counts; what lies below is not kept up.
    """

    count: int
    mean: Float64[Tensor, "dim"]
    scatter: Float64[Tensor, "dim dim"] | Float64[Tensor, "dim"]

    def to(self, device: torch.device) -> "Sums":
        """The same sums on a device."""
        return Sums(self.count, self.mean.to(device), self.scatter.to(device))


def no_rows(dim: int, diagonal: bool, device: torch.device | None = None) -> Sums:
    """The sums of an empty set."""
    mean = torch.zeros(dim, dtype=torch.float64, device=device)
    return Sums(0, mean, torch.zeros_like(mean) if diagonal else mean.new_zeros(dim, dim))


def sums_of(rows: Float[Tensor, "rows dim"], index: Int64[Tensor, "chosen"] | None, diagonal: bool) -> Sums:
    """Adds up rows, block by block, after subtracting a typical row so that nothing cancels at a large mean.

    All is float64, with one exception for speed: from BULK_ROWS float32 rows on, a CPU multiplies each block in
    float32, which is right to about 1e-7 of the variances, and adds the products in float64. Columns that are
    constant get a variance of exactly zero.

    Args:
        rows: one sample per row, at least one.
        index: which rows count; all of them where it is None.
        diagonal: whether to keep only the scatter's diagonal.

    Raises:
        ValueError: a row holds NaN or inf.
    """
    count = len(rows) if index is None else len(index)
    spread = slice(None, None, 1 + count // SAMPLE_ROWS)
    shift = _typical_row(rows[spread] if index is None else rows[index[spread]])
    bulk = is_bulk(rows, count, diagonal)
    shift = shift if bulk else shift.double()
    size = min(count, _rows_per_block(shift))
    blocks = torch.split(rows, size) if index is None else (rows[some] for some in index.split(size))
    sums = no_rows(rows.shape[1], diagonal, rows.device)
    buffer = shift.new_empty(size, rows.shape[1])
    for block in blocks:
        centred = buffer[: len(block)]
        _centre(block, shift, centred, sums)
        if bulk:
            sums.scatter.add_(numpy_gram(centred))
        elif not diagonal:
            add_gram(sums.scatter, centred)
    squares = sums.scatter if diagonal else sums.scatter.diagonal()
    if not torch.stack((sums.mean, squares)).isfinite().all():
        raise ValueError("the rows hold NaN or inf; find their source, or leave them out with `mask`")
    offset = sums.mean / count
    return Sums(count, shift.double() + offset, add_outer(sums.scatter, offset, -float(count)))


def is_bulk(rows: Float[Tensor, "rows dim"], count: int, diagonal: bool) -> bool:
    """Whether so many rows are multiplied by numpy, in their own precision."""
    return not diagonal and count >= BULK_ROWS and rows.is_cpu and numpy() is not None


def _centre(
    block: Float[Tensor, "rows dim"], shift: Float[Tensor, "dim"], centred: Float[Tensor, "rows dim"], sums: Sums
) -> None:
    """Subtracts the shift and adds the rest, or its squares where only they are kept.

    A CPU does so in pieces that stay in its cache and are short enough for a sum in float32.
    """
    size = PIECE_ROWS if block.is_cpu else len(block)
    for rows, piece in zip(block.split(size), centred.split(size), strict=True):
        torch.sub(rows, shift, out=piece)
        sums.mean.add_(piece.sum(0))
        if sums.scatter.ndim == 1:
            sums.scatter.add_(piece.square().sum(0))


def combine(a: Sums, b: Sums) -> Sums:
    """The sums of both sets: S = S_a + S_b + d d^T n_a n_b / n with d = m_b - m_a. Overwrites a's scatter.

    Source:
        Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
        1979.
    """
    if b.count == 0:
        return a
    count = a.count + b.count
    between = b.mean.to(a.mean.device) - a.mean
    scatter = a.scatter.add_(b.scatter.to(a.mean.device))
    add_outer(scatter, between, a.count * b.count / count)
    return Sums(count, a.mean + between * (b.count / count), scatter)


def channel_moments(x: Float[Tensor, "*tokens channels"]) -> Float64[Tensor, "3 channels"]:
    """Returns the rows (count, mean, sum of squared deviations from the mean) over all tokens, in float64.

    One tensor holds what `Sums` holds of a diagonal scatter, so that it can be a state of a metric.

    Example:
        >>> channel_moments(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).tolist()
        [[2.0, 2.0], [2.0, 5.0], [2.0, 0.0]]
    """
    x = x.reshape(-1, x.shape[-1]).double()
    count = x.new_full((x.shape[-1],), len(x))
    mean = x.sum(dim=0) / count.clamp_min(1)
    return torch.stack([count, mean, (x - mean).square().sum(dim=0)])


def merge_moments(moments: Float64[Tensor, "parts 3 channels"]) -> Float64[Tensor, "3 channels"]:
    """Merges the moments of any number of disjoint parts into those of the whole.

    It is `combine` for many at once, about their common mean: with n = sum n_i and m = sum n_i m_i / n, the deviations
    are sum S_i + n_i (m_i - m)^2. Unlike sums of squares this cancels nothing, however large the mean is beside the
    spread.

    Example:
        >>> parts = torch.stack([channel_moments(torch.tensor([[value]])) for value in (1.0, 3.0)])
        >>> merge_moments(parts).flatten().tolist()
        [2.0, 2.0, 2.0]
    """
    counts, means, deviations = moments.unbind(dim=1)
    count = counts.sum(dim=0)
    mean = (counts * means).sum(dim=0) / count.clamp_min(1)
    return torch.stack([count, mean, (deviations + counts * (means - mean).square()).sum(dim=0)])


def over_processes(own: Sums, group: dist.ProcessGroup | None = None) -> Sums:
    """The sums of the rows of all processes of a group: as `merge_moments`, about their common mean."""
    device = torch.device("cuda") if dist.get_backend(group) == "nccl" else own.mean.device
    totals = torch.cat((own.mean * own.count, own.mean.new_tensor([own.count]))).to(device)
    dist.all_reduce(totals, group=group)
    total = int(totals[-1])
    overall = totals[:-1] / max(total, 1)
    scatter = own.scatter.to(device, copy=True)
    add_outer(scatter, own.mean.to(device) - overall, float(own.count))
    dist.all_reduce(scatter, group=group)
    return Sums(total, overall.to(own.mean.device), scatter.to(own.mean.device))


def add_outer(scatter: Float64[Tensor, "..."], step: Float64[Tensor, "dim"], weight: float) -> Float64[Tensor, "..."]:
    """Adds weight * step step^T to a scatter in place, or only its diagonal to a diagonal one."""
    root = step * abs(weight) ** 0.5
    sign = 1 if weight > 0 else -1
    if scatter.ndim == 1:
        return scatter.add_(root.square(), alpha=sign)
    return scatter.addr_(root, root, alpha=sign)


def _typical_row(sample: Float[Tensor, "rows dim"]) -> Float[Tensor, "dim"]:
    """About the mean of a few rows, or the value itself of a constant column.

    It is rounded to a part of each column's deviation, so that subtracting it from float32 rows is exact for
    most of them, and biases no mean.
    """
    sample = sample if sample.dtype == torch.float64 else sample.float()
    around_first = sample - sample[0]
    mean = sample[0] + around_first.mean(0)
    deviation = (around_first - around_first.mean(0)).abs().mean(0)
    step = deviation.log2().floor().exp2() / 8
    return torch.where(step > 0, (mean / step).round() * step, mean)


def _rows_per_block(row: Float[Tensor, "dim"]) -> int:
    """As many rows as fit into BLOCK_BYTES, but no more than float32 may add up; at least one."""
    return min(BULK_ROWS, max(1, BLOCK_BYTES // (row.numel() * row.element_size())))
