"""What every loss does first and last: bring both sides to one shape and precision, and average within images."""

import torch
from torch import Tensor

from phis_lab.guards import require_tensors
from phis_lab.shapes import Float


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


def required(pred: Float[Tensor, "..."] | None, kind: str) -> Float[Tensor, "..."]:
    """Returns a prediction that the teacher calls for.

    Raises:
        ValueError: it is missing.
    """
    if pred is None:
        raise ValueError(f"the teacher has {kind} features but the prediction is None; give the student a {kind} head")
    return pred


def predicted_kinds(
    pred_summary: Float[Tensor, "..."] | None,
    pred_spatial: Float[Tensor, "..."] | None,
    target_summary: Float[Tensor, "..."] | None,
    target_spatial: Float[Tensor, "..."] | None,
) -> list[tuple[Float[Tensor, "..."], Float[Tensor, "..."]]]:
    """Returns (prediction, target) of each kind of feature that the teacher has, the summary first.

    Raises:
        ValueError: a prediction that the teacher calls for is missing, or it has neither kind.
    """
    kinds = {"summary": (pred_summary, target_summary), "spatial": (pred_spatial, target_spatial)}
    pairs = [(required(pred, kind), target) for kind, (pred, target) in kinds.items() if target is not None]
    if not pairs:
        raise ValueError("the teacher has neither a summary nor spatial features; leave it out of the set")
    return pairs
