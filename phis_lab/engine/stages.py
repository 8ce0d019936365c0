"""Stages as the engine walks them: from which step, and who sees what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from torch import Tensor

from phis_lab.data import Batch, EvalLoader, Partition
from phis_lab.engine.provider import FeatureProvider
from phis_lab.features import Grid
from phis_lab.seeds import named_seed
from phis_lab.shapes import Float

Split = Literal["train", "test"]
Loader = Callable[[Split, int | None, bool], EvalLoader]
"""(split, images or None for all, whether labels are needed) -> batches of images and labels."""


@dataclass
class Share:
    """One partition of a stage.

    Attributes:
        plan: image size, batch and teachers, relative to the run's.
        batch_size: images per step over all processes.
        image_size: side of the crops in pixels.
        shift: pixels by which training images are larger.
        train: teacher features of training images.
        test: teacher features of test images.
        loader: images for evaluations, at this partition's size.
        classes: names of their labels.
    """

    plan: Partition
    batch_size: int
    image_size: int
    shift: int
    train: FeatureProvider
    test: FeatureProvider
    loader: Loader
    classes: tuple[str, ...] = ()


@dataclass
class Stage:
    """One stage.

    Attributes:
        name: in the configuration.
        first: its first step.
        end: the first step after it.
        shares: its partitions by name.
        provenance: what identifies each teacher's spatial features, by partition.
    """

    name: str
    first: int
    end: int
    shares: Mapping[str, Share]
    provenance: Mapping[str, Mapping[str, Mapping[str, str]]]

    @property
    def steps(self) -> int:
        """How many it has."""
        return self.end - self.first

    @property
    def main(self) -> Share:
        """The partition whose images the probes see."""
        return next(iter(self.shares.values()))

    def describe(self) -> str:
        """Its partitions, for the log."""
        return "; ".join(
            f"{share.batch_size} images of {share.image_size} px for "
            + ", ".join(f"{name} ({teacher.image_size} px)" for name, teacher in share.train.pool.teachers.items())
            for share in self.shares.values()
        )

    def matched(self) -> dict[str, list[str]]:
        """Who is compared with the students on which partition: every teacher on the first that it sees."""
        found: dict[str, str] = {}
        for name, share in self.shares.items():
            for teacher in share.train.pool.teachers:
                found.setdefault(teacher, name)
        return {name: [teacher for teacher, at in found.items() if at == name] for name in self.shares}


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
    return {name: grid_at(share.plan.size) for name, share in stage.shares.items()}


def images_of(batch: Mapping[str, Batch]) -> int:
    """Images of a step in this process."""
    return sum(len(part.images) for part in batch.values())
