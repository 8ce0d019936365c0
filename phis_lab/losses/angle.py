"""C-RADIOv4's balanced summary loss: squared angles in units of how widely the teacher's summaries spread."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from phis_lab import processes
from phis_lab.guards import require_tensors
from phis_lab.losses.functional import aligned, per_image
from phis_lab.losses.modules import Loss
from phis_lab.shapes import Float

_SMALLEST_NORM = 1e-8
_SMALLEST_DISPERSION = 1e-6


def squared_angle(
    pred: Float[Tensor, "batch *tokens channels"], target: Float[Tensor, "..."]
) -> Float[Tensor, " batch"]:
    """The squared angle between prediction and target in square radians, averaged over tokens.

    Theta^2 with Theta = arccos(x.y / (|x| |y|)), computed as 2 atan2(|u - v|, |u + v|) of the unit vectors: arccos
    loses small angles and has an infinite slope at 0. A vector of norm zero is at a right angle to all others.

    Raises:
        ValueError: the shapes differ.

    Source:
        C-RADIOv4 (arXiv 2601.17237), numerator of eq. 7.

    Example:
        >>> squared_angle(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])).sqrt().rad2deg().tolist()
        [90.0]
    """
    x, y = (_unit(side) for side in aligned(pred, target))
    apart, together = vector_norm(x - y, dim=-1), vector_norm(x + y, dim=-1)
    both_zero = apart + together < _SMALLEST_NORM
    angle = 2 * torch.atan2(apart.masked_fill(both_zero, 1), together.masked_fill(both_zero, 1))
    return per_image(angle.square())


def angular_dispersion(
    summaries: Float[Tensor, "batch dim"], mean: Float[Tensor, "dim"] | None = None
) -> Float[Tensor, ""]:
    """The mean squared angle between summaries and the direction of their mean, in square radians.

    Disp = E[Theta(y, mu)^2] with mu = E[y] / |E[y]|. It is what a student scores that predicts mu for every image;
    directions without a preference have pi^2 / 4 in many dimensions.

    Args:
        summaries: of a teacher.
        mean: E[y], if it is known better than these summaries tell.

    Source:
        C-RADIOv4 (arXiv 2601.17237), denominator of eq. 7.

    Example:
        >>> angular_dispersion(torch.eye(2)).sqrt().rad2deg().round().item()
        45.0
    """
    require_tensors(summaries=summaries, mean=mean)
    mean = summaries.mean(dim=0) if mean is None else mean
    return squared_angle(summaries, mean.expand_as(summaries)).mean()


class AngleSummary(Loss):
    """Summaries by Theta^2 / Disp, so that every teacher's weigh alike: predicting a teacher's mean scores 1.

    By plain cosine a teacher whose summaries lie in a narrow cone hardly counts beside one whose are spread: in
    C-RADIOv4 the dispersions reach from 0.694 (SigLIP2-g) to 2.186 (DINOv3-7B).

    The mean and the dispersion are estimated while training, over all processes, and used after they have seen the
    batch; in evaluation they are used as they are. A batch weighs 1 / t at step t, later 1 - momentum. This
    estimate is ours: the paper gives the formula of the dispersion and its values. An instance is of one teacher.

    Args:
        spatial_loss: compares the spatial features; its comparison of summaries goes unused.
        momentum: the part of the estimates that survives a late step.

    Raises:
        ValueError: `momentum` is outside [0, 1).
    """

    mean: Tensor
    dispersion: Tensor
    steps: Tensor

    wants_summary = "of some"

    def __init__(self, spatial_loss: Loss, momentum: float = 0.999) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        self.spatial_loss, self.momentum = spatial_loss, momentum
        self.register_buffer("mean", torch.empty(0, dtype=torch.float64))
        self.register_buffer("dispersion", torch.zeros((), dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """As the chosen loss does."""
        return self.spatial_loss.spatial(pred, target)

    def summary(self, pred: Tensor, target: Tensor) -> Tensor:
        """The squared angle over the teacher's dispersion.

        Raises:
            ValueError: the summaries are not of the width seen before.
        """
        if len(self.mean) not in (0, target.shape[-1]):
            raise ValueError(
                f"the dispersion is of summaries with {len(self.mean)} channels, got {target.shape[-1]}; "
                "give each teacher an AngleSummary of its own"
            )
        angle = squared_angle(pred, target)
        return angle / self._estimate(target).clamp_min(_SMALLEST_DISPERSION).to(angle.dtype)

    @torch.no_grad()
    def _estimate(self, target: Tensor) -> Tensor:
        if len(self.mean) and not self.training:
            return self.dispersion
        target, steps = target.double(), self.steps + 1
        weight = steps.double().reciprocal().clamp_min(1 - self.momentum)
        batch_mean = processes.average(target.mean(dim=0))
        mean = self.mean.lerp(batch_mean, weight) if len(self.mean) else batch_mean
        dispersion = self.dispersion.lerp(processes.average(angular_dispersion(target, mean)), weight)
        if self.training:
            self.mean, self.dispersion, self.steps = mean, dispersion, steps
        return dispersion

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        self.mean = self.mean.new_empty(state_dict.get(prefix + "mean", self.mean).shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _unit(vectors: Tensor) -> Tensor:
    norms: Tensor = vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / norms.clamp_min(_SMALLEST_NORM)
