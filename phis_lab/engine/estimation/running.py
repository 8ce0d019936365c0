"""Statistics that never settle: running averages of the batches' moments."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch

from phis_lab.bounds import Positive, Share
from phis_lab.engine.estimation.base import (
    Estimation,
    Place,
    PlacedFeatures,
    Provenance,
    batch_moments,
    packed,
    unpacked,
)
from phis_lab.linalg import Moments


class RunningEstimation(Estimation):
    """Averages of the batches' means and covariances; a batch weighs m, which falls by half a cosine over a stage.

    UNIC keeps running means and deviations per channel and uses them before they take the batch in (arXiv 2408.05088,
    section 3.3); this is the same for any normaliser, those with a rotation included, and covariances are averaged in
    place of deviations. With both momenta 1 the statistics are those of the newest batch, as DUNE has them in training.

    Args:
        momentum_start: m in the first step.
        momentum_end: m in the last one.
        take_in_first: the batch counts before it is normalised; otherwise the first step only gathers.
        refresh_every: steps between fits; a fit of a method with a rotation is an eigendecomposition per teacher.
    """

    def __init__(
        self,
        momentum_start: Share = 1.0,
        momentum_end: Share = 1e-3,
        take_in_first: bool = False,
        refresh_every: Positive = 1,
    ) -> None:
        self.momentum_start, self.momentum_end = momentum_start, momentum_end
        self.take_in_first, self.refresh_every = take_in_first, refresh_every
        self.first_step = 0 if take_in_first else 1
        self.steps = 0
        self.moments = {}
        self._used = self.moments

    def start(self, provenance: Provenance, places: set[Place], steps: int) -> None:  # noqa: D102
        self.moments = {place: {} for place in sorted(places)}
        self.steps = steps

    def momentum(self, step: int) -> float:
        """Weight of the batch of a step."""
        descent = (1 + math.cos(math.pi * step / max(1, self.steps - 1))) / 2
        return self.momentum_end + (self.momentum_start - self.momentum_end) * descent

    def observe(self, features: PlacedFeatures, step: int) -> bool:  # noqa: D102
        fit = step >= self.first_step and (step - self.first_step) % self.refresh_every == 0
        before = {place: dict(by_teacher) for place, by_teacher in self.moments.items()}
        for (partition, grid), by_teacher in self.moments.items():
            for teacher, feature in features.get(partition, {}).get(grid, {}).items():
                if feature.spatial is not None:
                    old, new = by_teacher.get(teacher), batch_moments(feature.spatial, diagonal=self.diagonal)
                    by_teacher[teacher] = new if old is None else _averaged(old, new, self.momentum(step))
        self._used = self.moments if self.take_in_first else before
        return fit

    def used(self) -> Mapping[Place, Mapping[str, Moments]]:  # noqa: D102
        return self._used

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return packed(self.moments)

    def load_state_dict(self, state: Mapping[str, Any], places: Collection[Place]) -> None:  # noqa: D102
        for place, teacher, moments in unpacked(state, places, self.diagonal):
            self.moments[place][teacher] = moments


def _averaged(old: Moments, new: Moments, momentum: float) -> Moments:
    """Means and (co)variances of both, of which the new ones weigh `momentum`; the count stays that of a batch."""
    old = old.to(new.device)  # a checkpoint's, or another process's, lie elsewhere
    before, after = (moments.variance if new.diagonal else moments.covariance for moments in (old, new))
    averaged = Moments(new.dim, new.diagonal)
    averaged.load_state_dict(
        {
            "count": torch.tensor(new.count),
            "mean": old.mean.lerp(new.mean, momentum),
            "scatter": before.lerp(after, momentum) * (new.count - 1),
        }
    )
    return averaged
