"""Distillation losses as pure functions of [batch, ..., channels] that return one value per image."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, mse_loss, smooth_l1_loss

from phis_lab.features import Features, Kind
from phis_lab.guards import require_tensors
from phis_lab.linalg.vmf_sne import vmf_sne
from phis_lab.shapes import Float

__all__ = ["cosine", "dampened_mse", "hybrid", "mse", "smooth_l1", "unic", "vmf_sne"]


def aligned(
    pred: Float[Tensor, "..."], target: Float[Tensor, "..."]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Returns both in the wider of their precisions, float32 at least.

    Raises:
        TypeError: one is no tensor.
        ValueError: the shapes differ (they would otherwise broadcast).
    """
    require_tensors(pred=pred, target=target)
    if pred.shape != target.shape:
        raise ValueError(
            f"prediction and target must have the same shape, got {tuple(pred.shape)} and "
            f"{tuple(target.shape)}; resize the grid or check the head's output width"
        )
    dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
    return pred.to(dtype), target.to(dtype)


def per_image(values: Float[Tensor, "batch *rest"]) -> Float[Tensor, " batch"]:
    """Returns the mean over everything but the first axis."""
    return values.reshape(len(values), -1).mean(dim=1)


def paired(prediction: Features, target: Features) -> dict[Kind, tuple[Tensor, Tensor]]:
    """Returns (prediction, target) of each kind of feature that the teacher has, the summary first.

    Raises:
        ValueError: a prediction that the teacher calls for is missing, or it has neither kind.
    """
    said, wanted = prediction.kinds(), target.kinds()
    if not wanted:
        raise ValueError("the teacher has neither a summary nor spatial features; leave it out of the set")
    for kind in wanted:
        if kind not in said:
            raise ValueError(
                f"the teacher has {kind} features but the prediction is None; give the student a {kind} head"
            )
    return {kind: (said[kind], target) for kind, target in wanted.items()}


def mse(pred: Float[Tensor, "batch *tokens channels"], target: Float[Tensor, "..."]) -> Float[Tensor, " batch"]:
    """Mean squared error, the loss under which every normaliser is trained.

    (x - y)^2, averaged over tokens and channels (PHI-S, eq. 1). It is not scale invariant: on raw features
    the teacher with the largest variance takes most of the gradient.

    Args:
        pred: what the student predicts; lower precision than float32 is computed in float32.
        target: of the same shape.

    Raises:
        ValueError: the shapes differ (they would otherwise broadcast).

    Example:
        >>> mse(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])).tolist()
        [2.0]
    """
    pred, target = aligned(pred, target)
    return per_image(mse_loss(pred, target, reduction="none"))


def smooth_l1(
    pred: Float[Tensor, "batch *tokens channels"], target: Float[Tensor, "..."], beta: float = 1.0
) -> Float[Tensor, " batch"]:
    """Huber's compromise: squared below an error of `beta`, linear above, so outliers stop dominating.

    d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, averaged over tokens and channels. PHI-S does not
    state its beta; the default is torch's.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> smooth_l1(torch.tensor([[0.0, 3.0]]), torch.zeros(1, 2)).tolist()
        [1.25]
    """
    pred, target = aligned(pred, target)
    return per_image(smooth_l1_loss(pred, target, beta=beta, reduction="none"))


def dampened_mse(
    pred: Float[Tensor, "batch *tokens channels"], target: Float[Tensor, "..."]
) -> Float[Tensor, " batch"]:
    """Squared below an error of 1, growing only as its square root above, so that outliers lose their pull.

    d^2 / 2 where |d| < 1, else 2 sqrt(|d|) - 3/2, averaged over tokens and channels. Value and slope are
    continuous, and the slope falls as |d|^(-1/2) where that of smooth L1 stays at 1. The turn lies at 1 in
    units of the target, so it needs targets of unit variance.

    Raises:
        ValueError: the shapes differ.

    Source:
        The spatial loss `dampened_mse` of NVIDIA TAO 7.0.1, without the 1e-8 that it adds under the root.

    Example:
        >>> dampened_mse(torch.tensor([[0.5], [9.0]]), torch.zeros(2, 1)).tolist()
        [0.125, 4.5]
    """
    pred, target = aligned(pred, target)
    error = (pred - target).abs()
    return per_image(torch.where(error < 1, error.square() / 2, 2 * error.clamp_min(1).sqrt() - 1.5))


def cosine(pred: Float[Tensor, "batch *tokens channels"], target: Float[Tensor, "..."]) -> Float[Tensor, " batch"]:
    """Cosine distance: blind to the scale of a token, so teachers of any scale weigh the same.

    1 - x.y / (|x| |y|), averaged over tokens (PHI-S, eq. 2). A token of norm zero has distance 1 and a
    finite gradient.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> cosine(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])).tolist()
        [0.0, 1.0]
    """
    pred, target = aligned(pred, target)
    return per_image(1 - cosine_similarity(pred, target, dim=-1))


def hybrid(
    pred: Float[Tensor, "batch *tokens channels"],
    target: Float[Tensor, "..."],
    regression: Callable[[Tensor, Tensor], Tensor],
    cosine_weight: float = 0.9,
) -> Float[Tensor, " batch"]:
    """Cosine for the direction with a little regression for the length, which cosine alone leaves free.

    w cosine + (1 - w) regression (PHI-S, eq. 3 and 4; w = 0.9 as in AM-RADIO).

    Args:
        pred: what the student predicts.
        target: of the same shape.
        regression: `mse`, `smooth_l1`, or another function with their signature.
        cosine_weight: w.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> hybrid(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]), mse, cosine_weight=0.5).tolist()
        [0.25]
    """
    return cosine_weight * cosine(pred, target) + (1 - cosine_weight) * regression(pred, target)


def unic(
    pred_summary: Float[Tensor, "batch _"] | None,
    pred_spatial: Float[Tensor, "batch *tokens _"] | None,
    target_summary: Float[Tensor, "..."] | None,
    target_spatial: Float[Tensor, "..."] | None,
) -> Float[Tensor, " batch"]:
    """Half direction and half value for each token: one number per image and teacher, for standardised targets.

    Of a token (1 - cos(x, y)) / 2 + l(x - y) / 2, where l is the smooth L1 with beta = 1, element by element and
    averaged over channels. Averaged over the patches, then over summary and patches, so that all patches together
    weigh as much as the summary. A kind that the teacher lacks leaves the other alone.

    Args:
        pred_summary: what the student predicts.
        pred_spatial: the same for the patches.
        target_summary: the teacher's; None where it has none.
        target_spatial: the same for the patches.

    Raises:
        ValueError: shapes differ, a prediction that the teacher calls for is missing, or it has neither kind.

    Source:
        UNIC (arXiv 2408.05088), eq. 1 and 2. Its eq. 6 has the smooth L1 of the norm of x - y; its numbers come from
        the element-wise one.

    Example:
        >>> target = torch.tensor([[1.0, 0.0]])
        >>> unic(2 * target, None, target, None).tolist()
        [0.125]
    """
    pairs = paired(Features(pred_summary, pred_spatial), Features(target_summary, target_spatial))
    losses = [hybrid(pred, target, smooth_l1, cosine_weight=0.5) for pred, target in pairs.values()]
    return torch.stack(losses).mean(dim=0)
