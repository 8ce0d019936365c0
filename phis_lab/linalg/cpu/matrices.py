"""X^T X, A B and eigenvectors in float64, by the faster of torch and numpy on this machine."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from phis_lab.shapes import Float, Float64

PANEL = 128


@cache
def mkl_is_narrow() -> bool:
    """Whether MKL, torch's library for products, does without the AVX-512 that this processor has.

    It does on AMD's. OpenBLAS, which is numpy's, and oneDNN are up to twice as fast there. Where torch does not
    know the processor (before 2.11), the answer is no.
    """
    cpu: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    wide = cpu.get("avx512_f", False) and not cpu.get("amx_tile", False)
    return bool(wide and "AMD" in cpu.get("cpu_name", "") and torch.backends.mkl.is_available())


def numpy() -> Any:
    """The module, or None where it is not installed: torch alone must do for everything."""
    try:
        import numpy as module  # noqa: PLC0415
    except ImportError:
        return None
    return module


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Leaves the cores to numpy, whose threads keep them busy for a while after a product; torch's would wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
    """X^T X, exactly symmetric."""
    if _numpy_is_faster(rows):
        return numpy_gram(rows)
    product = rows.new_zeros(rows.shape[1], rows.shape[1])
    add_gram(product, rows)
    return mirrored(product)


def float64_product(a: Float64[Tensor, "m k"], b: Float64[Tensor, "k n"]) -> Float64[Tensor, "m n"]:
    """A B."""
    return torch.from_numpy(a.numpy() @ b.numpy()) if _numpy_is_faster(a) else a @ b


def symmetric_eigh(
    matrix: Float64[Tensor, "dim dim"],
) -> tuple[Float64[Tensor, "dim"], Float64[Tensor, "dim dim"]]:
    """Eigenvalues of a symmetric matrix, ascending, and its eigenvectors as columns, on the CPU."""
    matrix = matrix.cpu()
    if _numpy_is_faster(matrix):
        values, vectors = map(torch.from_numpy, numpy().linalg.eigh(matrix.numpy()))
    else:
        values, vectors = torch.linalg.eigh(matrix)
    return values, vectors


def _numpy_is_faster(matrix: Tensor) -> bool:
    return mkl_is_narrow() and matrix.is_cpu and numpy() is not None
