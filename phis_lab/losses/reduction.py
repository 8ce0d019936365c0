"""What every loss does first and last: bring both sides to one shape and precision, and average within images."""

import torch
from torch import Tensor

from phis_lab.features import Features, Kind
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
