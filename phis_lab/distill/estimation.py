"""What every way of gathering the teachers' statistics has in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from phis_lab.linalg import Moments
from phis_lab.linalg.processes import any_process
from phis_lab.teachers import Features, Grid

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

    def resume_at(self, step: int) -> None:
        """Go on from a step: of the steps before it only what is loaded from then on is known."""
        del step  # nothing to forget here

    def state_dict(self) -> dict[str, Any]:
        """State that a resumed run needs; empty once frozen."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any], grid: Grid) -> None:
        """Take in what `state_dict` knew of one grid at the step that comes next."""
        assert not state, f"{type(self).__name__} has no state to load"


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
