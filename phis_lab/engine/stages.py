"""Stages as the engine walks them: from which step, and who sees what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

import torch.distributed as dist
from torch import Tensor

from phis_lab.data import Batch, EvalLoader, PartitionPlan
from phis_lab.engine.provider import FeatureProvider
from phis_lab.engine.views import Crew, View
from phis_lab.features import Features, Grid, GridFeatures
from phis_lab.seeds import named_seed
from phis_lab.shapes import Float

Split = Literal["train", "test"]
Loader = Callable[[Split, int | None, bool], EvalLoader]
"""(split, images or None for all, whether labels are needed) -> batches of images and labels."""


@dataclass
class Partition:
    """One partition of a stage.

    Attributes:
        plan: scale, batch and teachers, relative to the run's.
        batch_size: images per step over all processes.
        image_size: side of the crops in pixels.
        shift: pixels by which training images are larger.
        train: teacher features of training images.
        test: teacher features of test images.
        loader: images for evaluations, at this partition's size.
        classes: names of their labels.
    """

    plan: PartitionPlan
    batch_size: int
    image_size: int
    shift: int
    train: FeatureProvider
    test: FeatureProvider
    loader: Loader
    classes: tuple[str, ...] = ()

    def features(self, batch: Batch, shifts: "Shifts") -> GridFeatures:
        """What the teachers say of their crops of a batch."""
        return self.train(self._shown(batch, shifts.teachers), batch.keys)

    def view(
        self,
        batch: Batch,
        features: Mapping[str, Features],
        shifts: "Shifts",
        patch: int,
        crew: Crew | None = None,
    ) -> View:
        """What an arm sees of a batch.

        Args:
            batch: of this partition.
            features: of the teachers, on the grid of the arm.
            shifts: where students and teachers look.
            patch: side of the arm's patches in pixels.
            crew: the processes that work on this partition, where they are divided.
        """
        images, pool = self._shown(batch, shifts.students), self.train.pool
        return View(images, features, self.plan.scale, shifts.tokens(patch), pool.resize, crew)

    def _shown(self, batch: Batch, corner: tuple[int, int]) -> Tensor:
        return crop(batch.images, corner, self.image_size) if self.shift else batch.images


@dataclass
class Stage:
    """One stage.

    Attributes:
        name: in the configuration.
        first: its first step.
        end: the first step after it.
        partitions: its partitions by name.
        provenance: what identifies each teacher's spatial features, by partition.
        ranks: of the processes that work on each partition; empty where every process works on all of them.
        crews: the same, once the processes have met.
    """

    name: str
    first: int
    end: int
    partitions: Mapping[str, Partition]
    provenance: Mapping[str, Mapping[str, Mapping[str, str]]]
    ranks: Mapping[str, range] = field(default_factory=dict)
    crews: dict[str, Crew] = field(default_factory=dict)
    _rank: int = 0

    def divide(self, ranks: Mapping[str, range], own: int) -> None:
        """Divide the processes among the partitions; a stage of one partition has all of them in any case.

        Args:
            ranks: by partition.
            own: number of this process.
        """
        self.ranks = ranks if len(ranks) > 1 else {}
        self._rank = own

    def meet(self) -> None:
        """Make the groups of processes that work on a partition together; all processes call this at the same time."""
        world = sum(map(len, self.ranks.values()))
        for name, ranks in self.ranks.items():
            weight = world / (len(self.ranks) * len(ranks))
            self.crews[name] = Crew(ranks[0], dist.new_group(list(ranks)), weight)

    def own(self) -> dict[str, Partition]:
        """The partitions that this process works on."""
        return {
            name: part for name, part in self.partitions.items() if self._rank in self.ranks.get(name, (self._rank,))
        }

    @property
    def steps(self) -> int:
        """How many it has."""
        return self.end - self.first

    def first_of_partitions(self) -> dict[str, int]:
        """Rank of the first process that works on it, by partition; empty where all work on all."""
        return {name: crew.first for name, crew in self.crews.items()}

    def first_of_teachers(self) -> dict[str, int]:
        """Rank of the first process that sees it, by teacher; likewise."""
        first = self.first_of_partitions()
        return {teacher: first[name] for name, seen in self.matched().items() for teacher in seen if first}

    @property
    def group(self) -> dist.ProcessGroup | None:
        """The processes that work on the partition of this one; None where all work on all."""
        return next((crew.group for name, crew in self.crews.items() if self._rank in self.ranks[name]), None)

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Images of a step over all processes, by partition."""
        return {name: partition.batch_size for name, partition in self.partitions.items()}

    @property
    def batch_size(self) -> int:
        """Images of a step over all partitions and processes."""
        return sum(self.batch_sizes.values())

    @property
    def main(self) -> Partition:
        """The partition whose images the probes see."""
        return next(iter(self.partitions.values()))

    def describe(self) -> str:
        """Its partitions, for the log."""
        return "; ".join(
            f"{partition.batch_size} images of {partition.image_size} px for "
            + ", ".join(f"{name} ({teacher.image_size} px)" for name, teacher in partition.train.pool.teachers.items())
            for partition in self.partitions.values()
        )

    def matched(self) -> dict[str, list[str]]:
        """Who is compared with the students on which partition: every teacher on the first that it sees."""
        found: dict[str, str] = {}
        for name, partition in self.partitions.items():
            for teacher in partition.train.pool.teachers:
                found.setdefault(teacher, name)
        return {name: [teacher for teacher, at in found.items() if at == name] for name in self.partitions}


class Shifts(NamedTuple):
    """Corners of the students' and the teachers' crops in one step's larger images, in pixels (row, column)."""

    students: tuple[int, int]
    teachers: tuple[int, int]

    @classmethod
    def draw(cls, seed: int, step: int, largest: int, patch: int) -> "Shifts":
        """Multiples of `patch` up to `largest`, a pure function of seed and step."""
        draw = partial(_place, seed, step, largest // patch + 1)
        places = [draw(number) * patch for number in range(4)]
        return cls((places[0], places[1]), (places[2], places[3]))

    def tokens(self, patch: int) -> tuple[int, int]:
        """How many tokens of `patch` pixels the students' crop lies below and right of the teachers'."""
        rows, columns = ((s - t) // patch for s, t in zip(self.students, self.teachers, strict=True))
        return rows, columns


def _place(seed: int, step: int, count: int, number: int) -> int:
    return named_seed("shift", seed, step, number) % count


def crop(images: Float[Tensor, "b 3 h w"], corner: tuple[int, int], side: int) -> Float[Tensor, "b 3 side side"]:
    """A square of every image."""
    row, column = corner
    return images[..., row : row + side, column : column + side]


def stage_at(stages: Sequence[Stage], step: int) -> Stage:
    """The stage of a step; the last one after the end."""
    return next((stage for stage in stages if step < stage.end), stages[-1])


def places(stage: Stage, grid_at: Callable[[float], Grid]) -> dict[str, Grid]:
    """The token grid of a student in each partition of a stage."""
    return {name: grid_at(partition.plan.scale) for name, partition in stage.partitions.items()}


def images_of(batch: Mapping[str, Batch]) -> int:
    """Images of a step in this process."""
    return sum(len(part.images) for part in batch.values())
