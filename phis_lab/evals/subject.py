"""A frozen student as the larger evaluations see it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from phis_lab.shapes import Float, Int64
from phis_lab.teachers import Features

Images = Float[Tensor, "b 3 h w"]


Labelled = Iterable[tuple[Images, Int64[Tensor, " b"]]]


@dataclass(frozen=True)
class Subject:
    """What can be asked of a trained student; everything is without gradients and in evaluation mode.

    Attributes:
        tokens: images in [0, 1] of any size -> the backbone's summary [b, d] and patch tokens [b, h, w, c].
        predictions: images -> per teacher what the heads say, in the teacher's own space.
        teachers: images -> the teachers' own features, spatial ones on the student's grid.
        images: (split, count) -> batches of the run's own labelled images in [0, 1] at `image_size`, on `device`.
        image_size: side in pixels of the images that the student was trained on.
        device: where images have to be.
        backbone: the module that `tokens` runs, for evaluations that change its weights for a while; None if unknown.
        classes: names of the labels of `images`, in their order; empty if unknown.
    """

    tokens: Callable[[Images], Features]
    predictions: Callable[[Images], dict[str, Features]]
    teachers: Callable[[Images], dict[str, Features]]
    images: Callable[[Literal["train", "test"], int], Labelled]
    image_size: int
    device: torch.device
    backbone: nn.Module | None = None
    classes: tuple[str, ...] = ()


class Task(ABC):
    """An evaluation with data of its own: one file, an option file, and a pure function within.

    Attributes:
        lower_is_better: names among its numbers that should be low.
        unranked: its numbers describe, and no report may rank them.
        headline: numbers for the main table and the ranks; the others stand in a table of their own. None for all.
        needs_labels: of the run's own images, training and test ones.
    """

    lower_is_better: frozenset[str] = frozenset()
    unranked: bool = False
    headline: frozenset[str] | None = None
    needs_labels: bool = True

    def check(self, teachers: Collection[str]) -> None:
        """Raise ValueError where a run with these teachers could not be evaluated at its end."""
        del teachers  # any will do

    def unit(self, metric: str) -> str:
        """Unit of one of its numbers, as the record states it; "" for a number that has none, such as a cosine."""
        del metric  # all are fractions unless a task says otherwise
        return "fraction"

    @abstractmethod
    def __call__(self, subject: Subject) -> dict[str, float]:
        """Named numbers, fractions where they can be; higher is better unless `lower_is_better` names it.

        A `Score` also tells the unit, and the floor that a number is to be read against.
        """
