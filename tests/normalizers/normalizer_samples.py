"""Features with a known spectrum, and one instance of every method."""

from collections.abc import Callable

import torch

from phis_lab import normalizers
from phis_lab.linalg import Moments, random_rotation
from phis_lab.normalizers import Normalizer

METHODS: dict[str, Callable[[int], Normalizer]] = {
    "identity": normalizers.Identity,
    "global_standardize": normalizers.GlobalStandardize,
    "standardize": normalizers.Standardize,
    "pca_whiten": normalizers.PCAWhiten,
    "zca_whiten": normalizers.ZCAWhiten,
    "hadamard_whiten": normalizers.HadamardWhiten,
    "phis": normalizers.PhiS,
    "center_scale": normalizers.CenterScale,
    "pca_scale": normalizers.PCAScale,
    "random_rotation_scale": lambda dim: normalizers.RandomRotationScale(dim, seed=3),
    "partial_whiten": lambda dim: normalizers.PartialWhiten(dim, gamma=0.4),
}
ISOTROPIC = ["identity", "global_standardize", "phis", "center_scale", "pca_scale", "random_rotation_scale"]
WHITENING = ["pca_whiten", "zca_whiten", "hadamard_whiten"]
SCALED_ROTATIONS = ["phis", "center_scale", "pca_scale", "random_rotation_scale"]
ELEMENTWISE = ["identity", "global_standardize", "standardize", "center_scale"]


def features(dim: int, count: int = 400, seed: int = 0, decay: float = 8.0, offset: float = 1.0) -> torch.Tensor:
    """Gaussian rows, eigenvalues from 1 down to exp(-decay) in a random basis, channel means of size `offset`."""
    generator = torch.Generator().manual_seed(seed)
    deviations = torch.linspace(0, -decay / 2, dim, dtype=torch.float64).exp()
    white = torch.randn(count, dim, dtype=torch.float64, generator=generator)
    means = offset * torch.randn(dim, dtype=torch.float64, generator=generator)
    return white * deviations @ random_rotation(dim, seed).T + means


def moments_of(rows: torch.Tensor) -> Moments:
    return Moments(rows.shape[-1]).update(rows)


def fitted(method: str, rows: torch.Tensor) -> Normalizer:
    """A method fitted to rows, computing in float64."""
    return METHODS[method](rows.shape[-1]).double().fit(moments_of(rows))


def phi(rows: torch.Tensor) -> torch.Tensor:
    """PHI-S's scale by its definition: the root of the mean variance."""
    return rows.var(0).mean().sqrt()
