"""Orthogonal matrices: Hadamard's, one that equalises a spectrum in any dimension, and random ones."""

from fractions import Fraction

import torch
from torch import Tensor

from phis_lab.guards import require_tensors
from phis_lab.linalg.hadamard import hadamard_matrix
from phis_lab.shapes import Float, Float64


def positive_diagonal(rows: Float64[Tensor, "dim dim"]) -> Float64[Tensor, "dim dim"]:
    """Negates rows whose diagonal entry is negative: the sign convention of PHI-S, caption of figure 4."""
    return torch.where(rows.diagonal() < 0, -1.0, 1.0).to(rows)[:, None] * rows


def hadamard_rotation(dim: int) -> Float64[Tensor, "dim dim"]:
    """The orthonormal H, every entry of size dim ** -0.5, with a positive diagonal.

    Raises:
        ValueError: no Hadamard matrix of this order is known.

    Example:
        >>> (hadamard_rotation(12).abs() * 12**0.5).unique().round(decimals=6).tolist()
        [1.0]
    """
    return positive_diagonal(hadamard_matrix(dim, torch.float64) / dim**0.5)


def equal_diagonal_rotation(eigenvalues: Float[Tensor, "dim"]) -> Float[Tensor, "dim dim"]:
    """An orthogonal R for which every diagonal entry of R diag(l) R^T is mean(l), in any dimension.

    Turning the plane of two axes whose values lie on both sides of the mean, by the angle with
    cos^2 l_i + sin^2 l_j = mean(l), settles one of the two and leaves l_i + l_j - mean(l) on the other. The
    axes that are not settled stay uncorrelated, so at most dim - 1 turns settle all. Equal variances are all
    it shares with a Hadamard matrix: its entries differ in size, so it does not spread a one-hot error evenly.

    Args:
        eigenvalues: the spectrum, in any order and of any sign; R is computed in float64 and has their dtype.

    Raises:
        ValueError: the spectrum holds NaN or inf.

    Source:
        Schur 1923, Horn 1954: a spectrum can have a diagonal if and only if it majorises it.

    Example:
        >>> rotation = equal_diagonal_rotation(torch.tensor([3.0, 1.0]))
        >>> (rotation @ torch.tensor([3.0, 1.0]).diag() @ rotation.T).diagonal().tolist()
        [1.9999998807907104, 1.9999998807907104]
    """
    require_tensors(eigenvalues=eigenvalues)
    if eigenvalues.ndim != 1:
        raise ValueError(f"eigenvalues are a vector, got the shape {tuple(eigenvalues.shape)}")
    values = eigenvalues.detach().double().cpu()
    if not values.isfinite().all():
        raise ValueError("the eigenvalues hold NaN or inf; check the statistics they were computed from")
    exact = [Fraction(value) for value in values.tolist()]
    mean = sum(exact, Fraction()) / len(exact)
    rows = _equalising_turns([value - mean for value in exact])
    return positive_diagonal(rows).to(eigenvalues)


def _equalising_turns(excess: list[Fraction]) -> Float64[Tensor, "dim dim"]:
    """Turns the plane of one axis above the mean and one below until none is left.

    Exact fractions, because in floats the remainder of a long chain of turns drifts away from the mean.
    """
    rows = torch.eye(len(excess), dtype=torch.float64)
    by_size = sorted(range(len(excess)), key=excess.__getitem__)
    above = [i for i in by_size if excess[i] > 0]
    below = [i for i in reversed(by_size) if excess[i] < 0]
    while above:
        i, j = above.pop(), below.pop()
        cos_squared = -excess[j] / (excess[i] - excess[j])
        cos, sin = float(cos_squared) ** 0.5, float(1 - cos_squared) ** 0.5
        rows[i], rows[j] = cos * rows[i] + sin * rows[j], cos * rows[j] - sin * rows[i]
        excess[j] += excess[i]
        if excess[j] != 0:
            (above if excess[j] > 0 else below).append(j)
    return rows


def random_rotation(dim: int, seed: int) -> Float64[Tensor, "dim dim"]:
    """An orthogonal matrix drawn uniformly (Haar): QR of a Gaussian matrix, with R's diagonal made positive.

    Source:
        Mezzadri, "How to generate random matrices from the classical compact groups", 2007.

    Example:
        >>> rotation = random_rotation(3, seed=0)
        >>> torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.float64))
        True
    """
    gaussian = torch.randn(dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    q, r = torch.linalg.qr(gaussian)
    rotation: Tensor = q * r.diagonal().sign()
    return rotation
