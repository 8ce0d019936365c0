"""A frozen student as the larger evaluations see it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from phis_lab.evals.score import Score, When
from phis_lab.features import Features
from phis_lab.shapes import Float, Int64

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
        folder: of the run, where a task may leave a file; None where it must not.
    """

    tokens: Callable[[Images], Features]
    predictions: Callable[[Images], dict[str, Features]]
    teachers: Callable[[Images], dict[str, Features]]
    images: Callable[[Literal["train", "test"], int], Labelled]
    image_size: int
    device: torch.device
    backbone: nn.Module | None = None
    classes: tuple[str, ...] = ()
    folder: Path | None = None


class Task(ABC):
    """An evaluation with data of its own: one file, an option file, and a pure function within.

    Attributes:
        needs_labels: of the run's own images, training and test ones.
        when: during training too, or only at the end.
    """

    needs_labels: bool = True
    when: When = "end"

    def check(self, teachers: Collection[str]) -> None:
        """Raise ValueError where a run with these teachers could not be evaluated at its end."""
        del teachers  # any will do

    @abstractmethod
    def __call__(self, subject: Subject) -> dict[str, Score]:
        """Scores by name, fractions where they can be; each tells its unit, direction and whether it is a detail."""
