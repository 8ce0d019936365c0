"""Statistics of the training stream itself."""

import copy
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from phis_lab.bounds import NonNegative, Positive
from phis_lab.engine.estimation.base import (
    Estimation,
    Place,
    PlacedFeatures,
    Provenance,
    batch_moments,
    packed,
    unpacked,
)
from phis_lab.engine.estimation.saved_moments import moments_file, provenance_of
from phis_lab.linalg import Moments
from phis_lab.processes import current_group, rank

log = logging.getLogger(__name__)


class OnlineEstimation(Estimation):
    """Moments of the training stream itself (PHI-S, table 10: 3,000 steps, refreshed every 100, then frozen).

    Args:
        steps: steps that count; afterwards every normaliser stays as it is.
        refresh_every: steps between fits while gathering.
        warmup_steps: first steps that only gather. Whitening fitted on fewer tokens than channels blows up the unseen
            directions, and an adaptive optimiser remembers that for thousands of steps.
        save: folder for the frozen moments, one file per teacher, for `estimation=offline`; None keeps none.
        every: steps between those that count. GPUs for consumers multiply float64 at a sixty-fourth of their rate in
            float32, and statistics of a tenth of the images are as good.
    """

    def __init__(
        self,
        steps: Positive,
        refresh_every: Positive,
        warmup_steps: NonNegative = 0,
        save: str | None = None,
        every: Positive = 1,
    ) -> None:
        if warmup_steps >= steps:
            raise ValueError(f"warmup_steps ({warmup_steps}) must be below steps ({steps})")
        self.steps, self.refresh_every, self.first_step, self.save = steps, refresh_every, warmup_steps, save
        self.moments, self.every = {}, every
        self._provenance: Provenance = {}
        self._counted: set[Place] = set()
        self._frozen = False

    @property
    def frozen_after(self) -> int:  # noqa: D102
        return self.steps

    def of_variances(self) -> Estimation:  # noqa: D102
        return self if self.save is not None else super().of_variances()

    def start(self, provenance: Provenance, places: set[Place], steps: int) -> None:  # noqa: D102
        self._provenance = provenance
        self.moments = {place: {} for place in sorted(places)}
        self._counted, self._frozen = set(places), False

    def resume_at(self, step: int) -> None:  # noqa: D102
        if step > 0:
            self._counted = set()

    def check(self, steps: int) -> None:  # noqa: D102
        super().check(steps)
        if self.save is not None and steps < self.steps:
            raise ValueError(f"nothing would be saved: the moments are complete after {self.steps} of {steps} steps")

    def observe(self, features: PlacedFeatures, step: int) -> bool:  # noqa: D102
        if step >= self.steps:
            return False
        for partition, grid in sorted(self._counted) if step % self.every == 0 else ():
            for teacher, feature in features.get(partition, {}).get(grid, {}).items():
                if feature.spatial is not None:
                    self._add((partition, grid), teacher, feature.spatial)
        last = step == self.steps - 1
        if last:
            self._frozen = True
            if current_group() is None:  # else others still have to share what they gathered
                self.write()
        since = step - self.first_step
        return last or (since >= 0 and since % self.refresh_every == 0)

    def _add(self, place: Place, teacher: str, spatial: Tensor) -> None:
        batch = batch_moments(spatial, self._facts(place, teacher), self.diagonal)
        if teacher in self.moments[place]:
            self.moments[place][teacher].to(batch.device).merge(
                batch
            )  # a checkpoint's, or another process's, lie elsewhere
        else:
            self.moments[place][teacher] = batch

    def _facts(self, place: Place, teacher: str) -> dict[str, str]:
        partition, grid = place
        return provenance_of(self._provenance[partition][teacher], grid)

    def write(self) -> None:  # noqa: D102
        if self.save is None or rank() > 0:
            return
        found: dict[Path, Moments] = {}
        for place in sorted(self._counted):
            for teacher, moments in self.moments[place].items():
                moments.provenance = self._facts(place, teacher)
                path = moments_file(Path(self.save), moments.provenance, place[1])
                found[path] = copy.deepcopy(found[path]).merge(moments) if path in found else moments
        for path, moments in found.items():
            moments.save(path)
            log.info("Wrote moments to %s.", path)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        if self._frozen:
            return {}
        return packed({place: self.moments[place] for place in self._counted})

    def load_state_dict(self, state: Mapping[str, Any], places: Collection[Place]) -> None:  # noqa: D102
        for place, teacher, moments in unpacked(state, places, self.diagonal):
            moments.provenance = self._facts(place, teacher)
            self.moments[place][teacher] = moments
            self._counted.add(place)
