"""A Gaussian in the plane, and what each method makes of an error of its student."""

from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.normalizers import (
    GlobalStandardize,
    HadamardWhiten,
    Normalizer,
    PCAWhiten,
    PhiS,
    Standardize,
    ZCAWhiten,
)
from phis_lab.shapes import Float64

EIGENVALUES = (3.8356, 0.0894)
"""Of the covariance, as in PHI-S, figure 6: phi, the root of their mean, is 1.400892."""
TILT = 30.0
MEAN = (1.5, -0.5)
"""Unequal, so that global standardisation, which counts the spread of the means, differs from PHI-S."""
SAMPLES = 400

METHODS: dict[str, type[Normalizer]] = {
    "Global Stdze": GlobalStandardize,
    "Standardize": Standardize,
    "PCA-W": PCAWhiten,
    "ZCA": ZCAWhiten,
    "HCA": HadamardWhiten,
    "PHI-S": PhiS,
}
"""By the paper's labels."""


class PlaneGaussian(NamedTuple):
    """Samples whose mean and covariance are exactly the asked ones, and the principal axes as columns."""

    samples: Float64[Tensor, "samples 2"]
    mean: Float64[Tensor, "2"]
    axes: Float64[Tensor, "2 2"]

    def fit(self, method: type[Normalizer]) -> Normalizer:
        """The method, fitted to the samples."""
        return method(2).fit(Moments(2).update(self.samples)).double()


def plane_gaussian(tilt: float = TILT, mean: tuple[float, float] = MEAN) -> PlaneGaussian:
    """The paper's Gaussian with its long axis at `tilt` degrees; the same samples at every tilt.

    Args:
        tilt: degrees, counter-clockwise from the first channel.
        mean: of the two channels.
    """
    drawn = torch.randn(SAMPLES, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    centred = drawn - drawn.mean(dim=0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(centred.T.cov()), centred.T, upper=False).T
    angle = torch.deg2rad(torch.tensor(tilt, dtype=torch.float64))
    axes = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    middle = torch.tensor(mean, dtype=torch.float64)
    deviations = torch.tensor(EIGENVALUES, dtype=torch.float64).sqrt()
    return PlaneGaussian(middle + white * deviations @ axes.T, middle, axes)


def unit_errors(angles: Float64[Tensor, "angles"]) -> Float64[Tensor, "angles 2"]:
    """Errors of size one in the normalised space, by their direction in radians."""
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def circle(steps: int = 360) -> Float64[Tensor, "angles 2"]:
    """Every direction of a unit error, closed."""
    return unit_errors(torch.linspace(0, 2 * torch.pi, steps + 1, dtype=torch.float64))


def error_radius(normalizer: Normalizer, angles: Float64[Tensor, "angles"]) -> Float64[Tensor, "angles"]:
    """Size in the teacher's space of a unit error in the normalised one, |W^-1 e|, by its direction (PHI-S, fig. 8)."""
    radius: Tensor = normalizer.unscale(unit_errors(angles)).norm(dim=1)
    return radius


class Extremes(NamedTuple):
    """The unit errors that grow most and least, each with its opposite."""

    most: Float64[Tensor, "2 2"]
    least: Float64[Tensor, "2 2"]


def extreme_errors(normalizer: Normalizer) -> Extremes | None:
    """Right singular vectors of W^-1; None where every direction fares alike."""
    inverse = normalizer.unscale(torch.eye(2, dtype=torch.float64)).T
    _, gains, directions = torch.linalg.svd(inverse)
    if torch.isclose(gains[0], gains[1], rtol=1e-9):
        return None
    return Extremes(*(torch.stack([direction, -direction]) for direction in directions))
