"""What every way of gathering the teachers' statistics has in common."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from phis_lab.features import Grid, GridFeatures
from phis_lab.linalg import Moments
from phis_lab.processes import any_process, current_group, said_by, world_size
from phis_lab.shapes import Float

Place = tuple[str, Grid]
"""A partition and a student grid in it."""
PlacedFeatures = Mapping[str, GridFeatures]
"""Features by partition."""
Provenance = Mapping[str, Mapping[str, Mapping[str, str]]]
"""What identifies each teacher's spatial features, by partition."""


class Estimation(ABC):
    """Gathers moments of spatial features per partition, student grid and teacher; normalisers are fitted from these.

    Tokens are counted as the student is asked to match them, that is, after the resize to its grid. Steps are those of
    a stage; every stage starts anew.
    """

    moments: dict[Place, dict[str, Moments]]
    diagonal: bool = False
    """Gather variances alone: no product of all channels with all others is ever taken."""
    first_step: int = 0
    """Students are optimised from this step of a stage on."""

    @property
    def frozen_after(self) -> int | None:
        """Steps of a stage after which the statistics stay as they are; None if there is no such step."""
        return None

    def of_variances(self) -> "Estimation":
        """The same for arms whose maps need variances alone; itself where moments are read, or saved for any method."""
        copied = copy.deepcopy(self)
        copied.moments, copied.diagonal = {}, True
        return copied

    @abstractmethod
    def start(self, provenance: Provenance, places: set[Place], steps: int) -> None:
        """Prepare for a stage of so many steps, for the teachers of its partitions on the students' grids."""

    @abstractmethod
    def observe(self, features: PlacedFeatures, step: int) -> bool:
        """Take in a step's features; True where the normalisers have to be fitted anew."""

    def check(self, steps: int) -> None:
        """Raise ValueError where a stage of this length makes no sense."""
        if steps <= self.first_step:
            raise ValueError(f"nobody would train: there are {steps} steps, warmup_steps is {self.first_step}")

    def check_files(self, provenance: Provenance, places: set[Place]) -> None:
        """Raise ValueError or FileNotFoundError where what a stage will read is missing or of other features."""
        del provenance, places  # nothing is read

    def resume_at(self, step: int) -> None:
        """Go on from a step: of the steps before it only what is loaded from then on is known."""
        del step  # nothing to forget here

    def state_dict(self) -> dict[str, Any]:
        """State that a resumed run needs; empty once frozen."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any], places: Collection[Place]) -> None:
        """Take in what `state_dict` knew of some places at the step that comes next."""
        assert not state, f"{type(self).__name__} has no state to load"

    def used(self) -> Mapping[Place, Mapping[str, Moments]]:
        """The moments that this step's maps are fitted to."""
        return self.moments

    def share(self, first: Mapping[str, int]) -> None:
        """Give all processes the moments that others have gathered.

        Args:
            first: rank of a process that works on it, by partition.
        """
        for place, by_teacher in sorted(self.moments.items()):
            own = {teacher: moments.state_dict() for teacher, moments in by_teacher.items()}
            for teacher, state in said_by(first[place[0]], own).items():
                by_teacher[teacher] = Moments(len(state["mean"]), diagonal=state["scatter"].ndim == 1)
                by_teacher[teacher].load_state_dict(state)

    def write(self) -> None:
        """Write the frozen moments, where that was asked for; once those of other processes are shared."""
        return  # most keep none

    def gathered(self, places: Collection[Place]) -> dict[str, Moments]:
        """The moments of an arm: per teacher those of every partition in which it sees one, together."""
        merged: dict[str, Moments] = {}
        for place in places:
            for teacher, moments in self.used()[place].items():
                merged[teacher] = moments if teacher not in merged else copy.deepcopy(merged[teacher]).merge(moments)
        return merged


def batch_moments(
    spatial: Float[Tensor, "b h w c"], provenance: Mapping[str, str] | None = None, diagonal: bool = False
) -> Moments:
    """Moments of a batch over all processes that see this partition."""
    moments = Moments(spatial.shape[-1], diagonal, provenance)
    moments.update(spatial.double())  # so that the split over processes changes nothing above 1e-12
    return moments.all_reduce(current_group()) if world_size() > 1 else moments


def packed(moments: Mapping[Place, Mapping[str, Moments]]) -> dict[str, Any]:
    """Moments by place and teacher as a state for a checkpoint."""
    return {
        f"{_name_of(place)}/{teacher}": of_teacher.state_dict()
        for place, by_teacher in moments.items()
        for teacher, of_teacher in by_teacher.items()
    }


def unpacked(
    state: Mapping[str, Any], places: Collection[Place], diagonal: bool
) -> Iterator[tuple[Place, str, Moments]]:
    """Undoes `packed` for some places: place, teacher and moments, which have no provenance yet.

    Args:
        state: of a checkpoint.
        places: that are wanted.
        diagonal: whether variances alone are wanted, which covariances hold too.

    Raises:
        ValueError: covariances are wanted, and the state has variances alone.
    """
    named = {_name_of(place): place for place in places}
    for key, of_teacher in state.items():
        name, _, teacher = key.rpartition("/")
        if name in named:
            scatter = of_teacher["scatter"]
            if scatter.ndim == 1 and not diagonal:
                raise ValueError(
                    "the run began without estimation.save and gathered variances alone; leave estimation.save out to "
                    "go on, or delete its checkpoint to train anew"
                )
            if scatter.ndim > 1 and diagonal:
                scatter = scatter.diagonal().clone()
            moments = Moments(len(of_teacher["mean"]), diagonal)
            moments.load_state_dict({**of_teacher, "scatter": scatter})
            yield named[name], teacher, moments


def _name_of(place: Place) -> str:
    partition, grid = place
    return f"{partition}/{grid[0]}x{grid[1]}"


def refuse_non_finite(features: PlacedFeatures, step: int) -> None:
    """Raise ValueError naming teacher, kind of token and step where features hold NaN or infinity, on every process.

    A device is asked once for all of them.
    """
    named = [
        (teacher, kind, tensor)
        for by_grid in features.values()
        for by_teacher in by_grid.values()
        for teacher, feature in by_teacher.items()
        for kind, tensor in feature.kinds().items()
    ]
    whole = torch.stack([tensor.isfinite().all() for *_, tensor in named]).tolist() if named else []
    problems = [
        f"teacher '{teacher}': {int((~tensor.isfinite()).sum())} NaN or infinite values in its {kind} features"
        for (teacher, kind, tensor), is_whole in zip(named, whole, strict=True)
        if not is_whole
    ]
    if any_process(bool(problems)):
        raise ValueError(f"{'; '.join(problems) or 'NaN or infinite features in another process'} at step {step}")
