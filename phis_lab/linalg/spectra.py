"""Eigenvalues and eigenvectors of symmetric matrices."""

import torch
from torch import Tensor

from phis_lab.linalg.optional_numpy import numpy
from phis_lab.linalg.processor import mkl_is_narrow
from phis_lab.shapes import Float64


def symmetric_eigh(
    matrix: Float64[Tensor, "dim dim"],
) -> tuple[Float64[Tensor, "dim"], Float64[Tensor, "dim dim"]]:
    """Eigenvalues, ascending, and the eigenvectors as columns, on the CPU, by the faster of torch and numpy."""
    matrix = matrix.cpu()
    np = numpy() if mkl_is_narrow() else None
    if np is None:
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors
    values, vectors = np.linalg.eigh(matrix.numpy())
    return torch.from_numpy(values), torch.from_numpy(vectors)
