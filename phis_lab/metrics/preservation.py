"""What a map into another space keeps: lengths and angles as a matrix promises, and cosines as they came out."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from phis_lab.shapes import Float, Float64


def orthogonality(weight: Float[Tensor, "outputs inputs"]) -> dict[str, Float64[Tensor, ""]]:
    """How far a linear map with fewer outputs than inputs is from a scaled one with orthonormal rows.

    Args:
        weight: W, of a linear layer.

    Returns:
        `singular_min`, `singular_median` and `singular_max`, all equal for a scaled orthogonal map; `deviation`,
        |W W^T / s^2 - I| / sqrt(outputs) in the Frobenius norm with s^2 = |W|^2 / outputs, the relative deviation of
        the squared singular values; and `procrustes`, min |W - s Q| / |W| over scales s and orthonormal rows Q, the
        share of W that no such map has. All but the singular values are between 0, for an orthogonal map, and the
        values of rank 1, sqrt(outputs - 1) and sqrt(1 - 1 / outputs). W = 0 has NaN.

    Raises:
        ValueError: there are more outputs than inputs, so that W W^T cannot be the identity.

    Example:
        >>> {name: round(value.item(), 6) for name, value in orthogonality(torch.eye(4)[:2]).items()}
        {'singular_min': 1.0, 'singular_median': 1.0, 'singular_max': 1.0, 'deviation': 0.0, 'procrustes': 0.0}
    """
    outputs, inputs = weight.shape
    if outputs > inputs:
        raise ValueError(f"rows can be orthonormal only if they are not more than the inputs, got {outputs} x {inputs}")
    values = torch.linalg.svdvals(weight.detach().double())
    square = values.square().mean()
    return {
        "singular_min": values.min(),
        "singular_median": values.quantile(0.5),
        "singular_max": values.max(),
        "deviation": (values.square() / square - 1).square().mean().sqrt(),
        "procrustes": (1 - values.mean().square() / square).clamp_min(0).sqrt(),
    }


def cosine_preservation(
    before: Float[Tensor, "rows dim"], after: Float[Tensor, "rows width"]
) -> dict[str, Float64[Tensor, ""]]:
    """Compares the cosines of all pairs of different rows before and after a map.

    Memory and time grow with the square of the rows: some thousand are enough.

    Returns:
        `pearson` and `spearman`, the correlations of the cosines, 1 if they are kept and NaN where all are equal;
        `mean_abs_difference`; `mean_before` and `mean_after`, the mean cosines.

    Raises:
        ValueError: the rows do not correspond, or there are fewer than three.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [3.0, 5.0]])
        >>> round(cosine_preservation(rows, 2 * rows)["pearson"].item(), 6)
        1.0
    """
    if len(before) != len(after) or len(before) < 3:
        raise ValueError(
            f"cosines are compared between three or more rows that correspond, got {len(before)} and {len(after)}"
        )
    x, y = (_cosines(rows) for rows in (before, after))
    return {
        "pearson": _correlation(x, y),
        "spearman": _correlation(_ranks(x), _ranks(y)),
        "mean_abs_difference": (x - y).abs().mean(),
        "mean_before": x.mean(),
        "mean_after": y.mean(),
    }


def _cosines(rows: Tensor) -> Float64[Tensor, " pairs"]:
    directions: Tensor = normalize(rows.detach().double(), dim=-1)
    first, second = torch.triu_indices(len(rows), len(rows), offset=1, device=rows.device)
    cosines: Tensor = (directions @ directions.T)[first, second]
    return cosines


def _ranks(values: Float64[Tensor, " pairs"]) -> Float64[Tensor, " pairs"]:
    """Places in ascending order; equal values share the mean of theirs."""
    _, group, counts = values.unique(return_inverse=True, return_counts=True)
    places: Tensor = counts.cumsum(0) - (counts - 1) / 2
    return places.double()[group]


def _correlation(x: Float64[Tensor, " pairs"], y: Float64[Tensor, " pairs"]) -> Float64[Tensor, ""]:
    x, y = x - x.mean(), y - y.mean()
    correlation: Tensor = (x @ y) / (x.norm() * y.norm())
    return correlation
