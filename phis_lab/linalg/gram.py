"""X^T X, of which half is enough: in float64 by torch, or in the precision of many rows by numpy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from phis_lab.linalg.optional_numpy import numpy
from phis_lab.linalg.processor import mkl_is_narrow
from phis_lab.shapes import Float, Float64

PANEL = 128


def add_gram(scatter: Float64[Tensor, "dim dim"], rows: Float64[Tensor, "rows dim"]) -> None:
    """Adds X^T X to the upper triangle of a scatter, in place, by panels; `mirrored` gives the rest.

    numpy's product would be faster by itself, but its threads keep their cores busy for some time afterwards,
    and torch's next operations wait for them: in the middle of a training step that costs more than the
    product.
    """
    for start in range(0, len(scatter), PANEL):
        stop = start + PANEL
        scatter[start:stop, start:].addmm_(rows[:, start:stop].T, rows[:, start:])


def mirrored(upper: Float64[Tensor, "dim dim"]) -> Float64[Tensor, "dim dim"]:
    """The symmetric matrix with this upper triangle, as a new tensor."""
    whole = upper.triu()
    return whole.add_(whole.triu(1).T)


def numpy_gram(rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "dim dim"]:
    """X^T X of rows on a CPU by numpy, which knows that it is symmetric: a third of the time that torch takes."""
    array: Any = rows.numpy()
    np = numpy()
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and inf are reported once, by an error
        return torch.from_numpy(array.T @ array)


def float64_gram(rows: Float64[Tensor, "rows dim"]) -> Float64[Tensor, "dim dim"]:
    """X^T X, exactly symmetric, by the faster of torch and numpy."""
    if mkl_is_narrow() and rows.is_cpu and numpy() is not None:
        return numpy_gram(rows)
    product = rows.new_zeros(rows.shape[1], rows.shape[1])
    add_gram(product, rows)
    return mirrored(product)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Numpy's threads keep their cores busy for a while after a product; torch's would wait for them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
