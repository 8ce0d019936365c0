"""Statistics of the training stream itself."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from phis_lab.distill.estimation import Estimation, GridFeatures, refuse_non_finite
from phis_lab.distill.provenance import moments_file, provenance_of
from phis_lab.linalg import Moments
from phis_lab.linalg.processes import rank, world_size
from phis_lab.teachers import Grid

log = logging.getLogger(__name__)


class OnlineEstimation(Estimation):
    """Moments of the training stream itself (PHI-S, table 10: 3,000 steps, refreshed every 100, then frozen).

    Args:
        steps: steps that count; afterwards every normaliser stays as it is.
        refresh_every: steps between fits while gathering.
        warmup_steps: first steps that only gather. Whitening fitted on fewer tokens than channels blows up the unseen
            directions, and an adaptive optimiser remembers that for thousands of steps.
        save: folder for the frozen moments, one file per teacher, for `estimation=offline`; None keeps none.
    """

    def __init__(
        self,
        steps: Annotated[int, Field(ge=1)],
        refresh_every: Annotated[int, Field(ge=1)],
        warmup_steps: Annotated[int, Field(ge=0)] = 0,
        save: str | None = None,
    ) -> None:
        if warmup_steps >= steps:
            raise ValueError(f"warmup_steps ({warmup_steps}) must be below steps ({steps})")
        self.steps, self.refresh_every, self.first_step, self.save = steps, refresh_every, warmup_steps, save
        self.moments = {}
        self._provenance: dict[str, dict[str, str]] = {}
        self._counted: set[Grid] = set()
        self._frozen = False

    def start(self, provenance: Mapping[str, Mapping[str, str]], grids: set[Grid]) -> None:  # noqa: D102
        self._provenance = {name: dict(facts) for name, facts in provenance.items()}
        self.moments = {grid: {} for grid in sorted(grids)}
        self._counted = set(grids)

    def resume_at(self, step: int) -> None:  # noqa: D102
        if step > 0:
            self._counted = set()

    def check(self, max_steps: int) -> None:  # noqa: D102
        super().check(max_steps)
        if self.save is not None and max_steps < self.steps:
            raise ValueError(
                f"nothing would be saved: the moments are complete after {self.steps} of {max_steps} steps"
            )

    def observe(self, features: GridFeatures, step: int) -> bool:  # noqa: D102
        for by_teacher in features.values():
            refuse_non_finite(by_teacher, step)
        if step >= self.steps:
            return False
        for grid in self._counted:
            for teacher, feature in features[grid].items():
                if feature.spatial is not None:
                    self._add(grid, teacher, feature.spatial)
        last = step == self.steps - 1
        if last:
            self._freeze()
        since = step - self.first_step
        return last or (since >= 0 and since % self.refresh_every == 0)

    def _add(self, grid: Grid, teacher: str, spatial: Tensor) -> None:
        dim = spatial.shape[-1]
        batch = Moments(dim, provenance=provenance_of(self._provenance[teacher], grid))
        batch.update(spatial.double())  # so that the split over processes changes nothing above 1e-12
        if world_size() > 1:
            batch.all_reduce()
        if teacher in self.moments[grid]:
            self.moments[grid][teacher].merge(batch)
        else:
            self.moments[grid][teacher] = batch

    def _freeze(self) -> None:
        self._frozen = True
        log.info("Teacher statistics are frozen after %d steps.", self.steps)
        if self.save is None or rank() > 0:
            return
        for grid in self._counted:
            for teacher, moments in self.moments[grid].items():
                path = moments_file(Path(self.save), teacher, grid)
                path.parent.mkdir(parents=True, exist_ok=True)
                moments.save(path.with_suffix(".part"))
                path.with_suffix(".part").replace(path)
                log.info("Wrote the moments of %s to %s.", teacher, path)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        if self._frozen:
            return {}
        return {
            f"{_size(grid)}/{teacher}": moments.state_dict()
            for grid in self._counted
            for teacher, moments in self.moments[grid].items()
        }

    def load_state_dict(self, state: Mapping[str, Any], grid: Grid) -> None:  # noqa: D102
        for key, of_teacher in state.items():
            size, _, teacher = key.partition("/")
            if size == _size(grid):
                moments = Moments(len(of_teacher["mean"]), provenance=provenance_of(self._provenance[teacher], grid))
                moments.load_state_dict(of_teacher)
                self.moments[grid][teacher] = moments
                self._counted.add(grid)


def _size(grid: Grid) -> str:
    return f"{grid[0]}x{grid[1]}"
