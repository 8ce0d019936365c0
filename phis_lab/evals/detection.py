"""How well a score tells images of known classes from others: AUROC and the false positive rate."""

import torch
from torch import Tensor

from phis_lab.shapes import Float


def auroc(inliers: Float[Tensor, " in"], outliers: Float[Tensor, " out"]) -> float:
    """Probability that an inlier scores higher than an outlier; a tie counts one half.

    It is the area under the ROC curve, as the Mann-Whitney statistic: exact in float64 for scores of any range.
    torchmetrics' `binary_auroc` takes scores outside [0, 1] for logits, and its sigmoid ties the large ones.

    Args:
        inliers: scores of images of known classes; higher means more alike.
        outliers: scores of the others.

    Raises:
        ValueError: no scores of one kind, or NaN among them.
    """
    _check(inliers, outliers)
    ordered = inliers.double().sort().values
    below, up_to = (torch.searchsorted(ordered, outliers.double(), right=right) for right in (False, True))
    return 1 - (below + up_to).double().mean().item() / (2 * len(ordered))


def false_positive_rate(inliers: Float[Tensor, " in"], outliers: Float[Tensor, " out"], missed: float = 0.05) -> float:
    """Share of outliers at or above the threshold that keeps 95 % of the inliers: FPR@95.

    The threshold is the 5 % quantile of the inliers' scores, interpolated, as in TinTeM's evaluation.

    Args:
        inliers: scores of images of known classes; higher means more alike.
        outliers: scores of the others.
        missed: share of the inliers below the threshold.

    Raises:
        ValueError: no scores of one kind, or NaN among them.
    """
    _check(inliers, outliers)
    threshold = inliers.double().quantile(missed)
    return (outliers.double() >= threshold).double().mean().item()


def _check(inliers: Tensor, outliers: Tensor) -> None:
    for name, scores in (("inliers", inliers), ("outliers", outliers)):
        if len(scores) == 0 or scores.isnan().any():
            raise ValueError(f"detection needs one score or more of each kind and no NaN, got {len(scores)} {name}")
