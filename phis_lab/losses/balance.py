"""Balancers: how the rows of losses (teachers by kinds) become the one number that is minimised."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from phis_lab import processes
from phis_lab.losses.balancer import Balancer
from phis_lab.losses.dropping import TeacherDropping
from phis_lab.shapes import Float

__all__ = ["AdaLoss", "Balancer", "TeacherDropping", "Uniform"]

_SMALLEST_MEAN = 1e-12


class Uniform(Balancer):
    """Constant weights: sum_t w_t mean_b rows[t, b]. Conditioning is left to the normaliser, as in PHI-S.

    Args:
        weights: one per row; None weighs all rows by 1.

    Raises:
        ValueError: a weight is negative or not finite.
    """

    def __init__(self, weights: Sequence[float | int] | None = None) -> None:
        super().__init__()
        if weights is not None and not all(math.isfinite(w) and w >= 0 for w in weights):
            raise ValueError(f"weights must be finite and not negative, got {list(weights)}")
        self.weights = None if weights is None else tuple(weights)

    def weigh(self, rows: Float[Tensor, "rows batch"]) -> Float[Tensor, "rows 1"]:
        """Returns the constants."""
        if self.weights is None:
            return torch.ones_like(rows[:, :1])
        if len(self.weights) != len(rows):
            raise ValueError(f"{len(self.weights)} weights for {len(rows)} rows of losses; give one weight per row")
        return rows.new_tensor(self.weights)[:, None]


class AdaLoss(Balancer):
    """Divides each row by the running mean of itself, so every row contributes about 1 whatever its scale.

    w_t = 1 / a_t, where a_t <- m a_t + (1 - m) mean_b rows[t, b] starts at the first mean (PHI-S, A.8.1;
    m = 0.99 in AM-RADIO). A teacher thus gets the more weight the better it is matched. The mean is over
    all ranks, so all use the same weights. In evaluation the average is used, not updated.

    Args:
        momentum: m, the part of the average that survives a step.

    Raises:
        ValueError: `momentum` is outside [0, 1).
    """

    average: Tensor

    def __init__(self, momentum: float = 0.99) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        self.momentum = momentum
        self.register_buffer("average", torch.empty(0))

    def weigh(self, rows: Float[Tensor, "rows batch"]) -> Float[Tensor, "rows 1"]:
        """Returns one over the running mean of each row, after it has seen these rows."""
        if len(self.average) not in (0, len(rows)):
            raise ValueError(f"the running means are of {len(self.average)} rows of losses, got {len(rows)}")
        average = self.average
        if self.training or len(average) == 0:
            mean = processes.average(rows.mean(dim=1).float())
            average = average.lerp(mean, 1 - self.momentum) if len(average) else mean
        if self.training:
            self.average = average
        return average.clamp_min(_SMALLEST_MEAN).reciprocal()[:, None]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(prefix + "average", self.average)
        self.average = self.average.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)
