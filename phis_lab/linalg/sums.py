"""Count, mean and scatter of rows: of one batch, and of two sets of rows taken together."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phis_lab.shapes import Float, Float64, Int64

BLOCK_ROWS = 2048
BULK_ROWS = 8192
BULK_ROWS = 8192
SAMPLE_ROWS = 256


@dataclass(frozen=True)
class Sums:
    """What a set of rows adds up to; the scatter is sum (x - mean)(x - mean)^T, or only its diagonal."""

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
    if diagonal or count < BULK_ROWS or not rows.is_cpu:
        shift = shift.double()
    blocks = torch.split(rows, BLOCK_ROWS) if index is None else (rows[some] for some in index.split(BLOCK_ROWS))
    sums = no_rows(rows.shape[1], diagonal, rows.device)
    total, scatter = _array(sums.mean), _array(sums.scatter)
    buffer = shift.new_empty(min(count, BLOCK_ROWS), rows.shape[1])
    with _no_numpy_warnings():
        for block in blocks:
            centred = _array(torch.sub(block, shift, out=buffer[: len(block)]))
            total += centred.sum(0, dtype=total.dtype)
            scatter += (centred * centred).sum(0) if diagonal else centred.T @ centred
    if not (sums.mean.isfinite().all() and sums.scatter.isfinite().all()):
        raise ValueError("the rows hold NaN or inf; find their source, or leave them out with `mask`")
    offset = sums.mean / count
    return Sums(count, shift.double() + offset, add_outer(sums.scatter, offset, -float(count)))


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


def add_outer(scatter: Float64[Tensor, "..."], step: Float64[Tensor, "dim"], weight: float) -> Float64[Tensor, "..."]:
    """Adds weight * step step^T to a scatter in place, or only its diagonal to a diagonal one."""
    root = step * abs(weight) ** 0.5
    sign = 1 if weight > 0 else -1
    if scatter.ndim == 1:
        return scatter.add_(root.square(), alpha=sign)
    return scatter.addr_(root, root, alpha=sign)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Numpy's threads keep their cores busy for a while after a product; torch's would wait for them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _typical_row(sample: Float[Tensor, "rows dim"]) -> Float[Tensor, "dim"]:
    """The mean of a few rows, taken around the first one so that a constant column gives its own value."""
    sample = sample if sample.dtype == torch.float64 else sample.float()
    return sample[0] + (sample - sample[0]).mean(0)


def _array(tensor: Tensor) -> Any:
    """The numpy array that shares a CPU tensor's memory, float32 at least; elsewhere a float64 tensor.

    numpy's X^T X knows that it is symmetric, which takes a third of torch's time on a CPU. A float64 product on
    an accelerator is out of the reach of autocast and TF32.
    """
    tensor = tensor if tensor.dtype == torch.float64 else tensor.float()
    try:
        return tensor.numpy()
    except (RuntimeError, TypeError):  # numpy is not installed; the tensor is not on a CPU
        return tensor.double()


def _no_numpy_warnings() -> AbstractContextManager[Any]:
    """NaN and inf are reported once, by an error."""
    try:
        import numpy as np  # noqa: PLC0415  optional
    except ImportError:
        return nullcontext()
    return np.errstate(invalid="ignore", over="ignore")
