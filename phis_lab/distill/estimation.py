"""How the teachers' statistics are gathered, and when they are frozen."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.linalg.processes import any_process, rank, world_size
from phis_lab.teachers import Features

log = logging.getLogger(__name__)

Grid = tuple[int, int]
GridFeatures = Mapping[Grid, Mapping[str, Features]]
MomentsTable = dict[Grid, dict[str, Moments]]


class Estimation(ABC):
    """Gathers moments of spatial features per teacher and student grid; every normaliser is fitted from these.

    Tokens are counted as the student is asked to match them, that is, after the resize to its grid.
    """

    moments: MomentsTable

    @abstractmethod
    def start(self, provenance: Mapping[str, Mapping[str, str]], grids: set[Grid]) -> None:
        """Prepare for these teachers (name -> what identifies its features) on these student grids."""

    @abstractmethod
    def observe(self, features: GridFeatures, step: int) -> bool:
        """Take in a step's features; True where the normalisers have to be fitted anew."""

    first_step: int = 0
    """Students are optimised from this step on."""

    def check(self, max_steps: int) -> None:
        """Raise ValueError where a run of this length makes no sense."""
        if max_steps <= self.first_step:
            raise ValueError(f"nobody would train: max_steps is {max_steps}, warmup_steps {self.first_step}")

    def state_dict(self) -> dict[str, Any]:
        """State that a resumed run needs; empty once frozen."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        assert not state, f"{type(self).__name__} has no state to load"


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
        self._frozen = False

    def start(self, provenance: Mapping[str, Mapping[str, str]], grids: set[Grid]) -> None:  # noqa: D102
        self._provenance = {name: dict(facts) for name, facts in provenance.items()}
        self.moments = {grid: {} for grid in sorted(grids)}

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
        for grid, by_teacher in features.items():
            for teacher, feature in by_teacher.items():
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
        for grid, by_teacher in self.moments.items():
            for teacher, moments in by_teacher.items():
                path = moments_file(Path(self.save), teacher, grid)
                path.parent.mkdir(parents=True, exist_ok=True)
                moments.save(path.with_suffix(".part"))
                path.with_suffix(".part").replace(path)
                log.info("Wrote the moments of %s to %s.", teacher, path)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        if self._frozen:
            return {}
        return {
            f"{h}x{w}/{teacher}": moments.state_dict()
            for (h, w), by_teacher in self.moments.items()
            for teacher, moments in by_teacher.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        for key, moments_state in state.items():
            size, teacher = key.split("/", 1)
            grid = (int(size.split("x")[0]), int(size.split("x")[1]))
            if grid not in self.moments:
                continue
            moments = Moments(len(moments_state["mean"]), provenance=provenance_of(self._provenance[teacher], grid))
            moments.load_state_dict(moments_state)
            self.moments.setdefault(grid, {})[teacher] = moments


class OfflineEstimation(Estimation):
    """Moments from files that an earlier run saved; normalisers are fitted once, before the first step.

    Args:
        moments: folder written through `estimation.save`.
    """

    def __init__(self, moments: str) -> None:
        self.folder = Path(moments)
        if not self.folder.is_dir():
            raise ValueError(f"moments must be a folder of saved moments; there is none at {self.folder}")
        self.moments = {}

    def start(self, provenance: Mapping[str, Mapping[str, str]], grids: set[Grid]) -> None:  # noqa: D102
        for grid in sorted(grids):
            for teacher, facts in provenance.items():
                moments = Moments.load(moments_file(self.folder, teacher, grid))
                refuse_foreign(moments.provenance, provenance_of(facts, grid), teacher)
                self.moments.setdefault(grid, {})[teacher] = moments

    def observe(self, features: GridFeatures, step: int) -> bool:  # noqa: D102
        for by_teacher in features.values():
            refuse_non_finite(by_teacher, step)
        return step == 0


def moments_file(folder: Path, teacher: str, grid: Grid) -> Path:
    """Where the moments of a teacher on a grid are kept."""
    return folder / f"{teacher}-{grid[0]}x{grid[1]}.safetensors"


def provenance_of(facts: Mapping[str, str], grid: Grid) -> dict[str, str]:
    """What identifies the statistics of a teacher's spatial features on a grid."""
    return {**facts, "grid": f"{grid[0]}x{grid[1]}"}


def refuse_foreign(found: Mapping[str, str], wanted: Mapping[str, str], teacher: str) -> None:
    """Raise ValueError unless saved statistics are of the very features that this run will see."""
    if found.get("data") != wanted.get("data"):
        log.warning("The saved moments of %s were gathered on other images.", teacher)
    differing = [key for key, value in wanted.items() if key != "data" and found.get(key) != value]
    wrong = [f"{key} is {found.get(key)!r}, not {wanted[key]!r}" for key in differing]
    if wrong:
        raise ValueError(f"the saved moments of teacher '{teacher}' are of other features: {'; '.join(wrong)}")


def refuse_non_finite(features: Mapping[str, Features], step: int) -> None:
    """Raise ValueError naming teacher, kind of token and step where features hold NaN or infinity, on every process."""
    problems = [
        f"teacher '{teacher}': {int((~tensor.isfinite()).sum())} NaN or infinite values in its {kind} features"
        for teacher, feature in features.items()
        for kind, tensor in feature._asdict().items()
        if tensor is not None and not tensor.isfinite().all()
    ]
    if any_process(bool(problems)):
        raise ValueError(f"{'; '.join(problems) or 'NaN or infinite features in another process'} at step {step}")
