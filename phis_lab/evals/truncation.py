"""Features in fewer dimensions: their first principal components, whitened."""

from collections.abc import Sequence

import torch
from torch import Tensor

from phis_lab.evals.linear_probe import linear_probe
from phis_lab.linalg import Moments
from phis_lab.shapes import Float, Float64, Int64

_SMALLEST_DIM = 6
_NO_VARIANCE = 1e-12


class WhitenedComponents:
    """The first principal components of training features, each with variance 1 on them.

    z = L_d^-1/2 U_d^T (x - mean). Directions without variance, which fewer images than channels leave over, give 0.

    Args:
        train: features that the components are those of.

    Raises:
        ValueError: NaN in the features, or fewer than two rows.
    """

    def __init__(self, train: Float[Tensor, "n dim"]) -> None:
        moments = Moments(train.shape[1]).update(train.double())
        variances, basis = moments.eigh()
        scale = variances.rsqrt().where(variances > _NO_VARIANCE * variances[0], 0.0)
        self.mean, self.axes = moments.mean, basis * scale

    def __call__(self, x: Float[Tensor, "n dim"], dim: int) -> Float64[Tensor, "n {dim}"]:
        """The first `dim` components of features."""
        return (x.double() - self.mean) @ self.axes[:, :dim]


def halved_dims(width: int) -> list[int]:
    """The width, its half and so on down to 6: for 768 channels the eight of UNIC's figure 6."""
    dims = [width]
    while dims[-1] // 2 >= _SMALLEST_DIM:
        dims.append(dims[-1] // 2)
    return dims


def truncation_curve(
    train_x: Float[Tensor, "train dim"],
    train_y: Int64[Tensor, " train"],
    test_x: Float[Tensor, "test dim"],
    test_y: Int64[Tensor, " test"],
    dims: Sequence[int] | None = None,
    *,
    c: float = 1.0,
    max_iterations: int = 3000,
) -> dict[int, float]:
    """Accuracy of a linear probe on the first components, whitened, by their number (UNIC, figure 6b).

    Args:
        train_x: frozen features, which the components are those of.
        train_y: their labels.
        test_x: features of the test images.
        test_y: their labels.
        dims: numbers of components; None takes `halved_dims`.
        c: inverse strength of the probe's penalty.
        max_iterations: limit of L-BFGS.

    Raises:
        ValueError: more components than channels, or as `linear_probe_path`.
    """
    width = train_x.shape[1]
    dims = halved_dims(width) if dims is None else dims
    if too_many := [dim for dim in dims if not 1 <= dim <= width]:
        raise ValueError(f"features of {width} channels have 1 to {width} components, got {too_many}; change dims")
    components = WhitenedComponents(train_x)
    train, test = components(train_x, width), components(test_x, width)
    return {
        dim: linear_probe(
            *(train[:, :dim], train_y, test[:, :dim], test_y), c=c, standardize=False, max_iterations=max_iterations
        ).accuracy
        for dim in dims
    }


@torch.no_grad()
def feature_moments(x: Float[Tensor, "n dim"]) -> dict[str, float]:
    """The three numbers of UNIC's table G.

    Returns:
        `norm`, the mean length of a row; `std_of_sample`, the mean over rows of the standard deviation over channels;
        `std_of_channel`, the mean over channels of the standard deviation over rows.

    Raises:
        ValueError: fewer than two rows.
    """
    if len(x) < 2:
        raise ValueError(f"moments need two rows or more, got {len(x)}")
    x = x.double()
    return {
        "norm": float(torch.linalg.vector_norm(x, dim=1).mean()),
        "std_of_sample": float(x.std(dim=1).mean()),
        "std_of_channel": float(x.std(dim=0).mean()),
    }
