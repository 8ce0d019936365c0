"""How widely features are spread: the checks and scales that several methods share."""

import torch
from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.shapes import Float64


def check_moments(moments: Moments, dim: int, method: str, needs_covariance: bool) -> None:
    """Refuses moments that a method of `dim` channels cannot be fitted to, with the reason."""
    if not isinstance(moments, Moments):
        raise TypeError(
            f"{method} is fitted to moments, got {type(moments).__name__}; gather them first: "
            f"fit(Moments({dim}).update(features)), with features as a torch tensor [..., {dim}]"
        )
    if moments.dim != dim:
        raise ValueError(f"{method} has {dim} channels, the moments have {moments.dim}")
    if moments.count < 2:
        raise ValueError(f"too few samples: {method} needs at least 2, the moments hold {moments.count}")
    if needs_covariance and moments.diagonal:
        raise ValueError(f"{method} needs the covariance; gather it with Moments({dim}) without diagonal=True")
    if not (moments.mean.isfinite().all() and moments.variance.isfinite().all()):
        raise ValueError(f"{method} cannot be fitted: the moments hold NaN or inf")


def checked_seed(seed: int) -> int:
    """A seed, refused where random generators would take it for another one."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is a whole number from 0 to {2**32 - 1}, got {seed}")
    return seed


def mean_variance(moments: Moments) -> Float64[Tensor, ""]:
    """phi^2 = trace(covariance) / C, the square of PHI-S's scale (PHI-S, eq. 22).

    Raises:
        ValueError: no feature varies beyond the rounding of float64, so nothing can be scaled.
    """
    variance = moments.variance.mean()
    rounding = 4 * torch.finfo(torch.float64).eps * moments.mean.abs().max()
    if variance <= rounding.square():
        raise ValueError(f"all features are constant over the {moments.count} samples: their variance is zero")
    return variance


def checked_floor(floor: float | int) -> float:
    """The floor of a method's option, refused outside [0, 1]."""
    if not 0 <= floor <= 1:
        raise ValueError(f"floor is a share of the mean eigenvalue, between 0 and 1, got {floor}")
    return float(floor)


def floored(variances: Float64[Tensor, "dim"], smallest: Float64[Tensor, ""]) -> Float64[Tensor, "dim"]:
    """Raises variances, or eigenvalues, to at least the smallest that a method allows: floor * phi^2.

    Directions below it are treated as if they varied that much: dead channels and missing rank then get a
    gain of at most floor ** -0.5 / phi, so the map stays finite and invertible, and its output there has less
    than unit variance.

    Raises:
        ValueError: a variance is zero and so is the floor.
    """
    raised = variances.clamp_min(smallest)
    if not (raised > 0).all():
        zeros = int((raised <= 0).sum())
        raise ValueError(f"{zeros} of {len(raised)} directions have no variance and floor=0; use a floor such as 1e-6")
    return raised
