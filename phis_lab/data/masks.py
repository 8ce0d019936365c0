"""Images with a class for every pixel."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

IGNORED = 255
"""Label of pixels that are neither trained on nor counted."""


class Masked(NamedTuple):
    """An image as uint8 [3, h, w] and the class of its pixels as uint8 [h, w], `IGNORED` where it has none."""

    image: Tensor
    mask: Tensor


class MaskedImages(ABC):
    """Images with masks that are read by position.

    Args:
        name: what logs and errors call them, as in `voc2012/train`.
        classes: names of the classes, in the order of the labels; 255 at most.
    """

    def __init__(self, name: str, classes: Iterable[str]) -> None:
        self.name = name
        self.classes = tuple(classes)
        if not 2 <= len(self.classes) <= IGNORED:
            raise ValueError(f"{name}: masks have 2 to {IGNORED} classes, got {len(self.classes)}")

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Masked:
        """Returns an image with its mask.

        Raises:
            CorruptImageError: one of both cannot be read.
        """


@dataclass(frozen=True, kw_only=True)
class MaskedData(ABC):
    """A data set with masks as an option; nothing is read before `train` or `test` is asked for."""

    @abstractmethod
    def read(self) -> tuple[MaskedImages, MaskedImages]:
        """Returns the images to train on and those to test on."""

    @cached_property
    def _whole(self) -> tuple[MaskedImages, MaskedImages]:
        return self.read()

    @property
    def train(self) -> MaskedImages:
        """The training images."""
        return self._whole[0]

    @property
    def test(self) -> MaskedImages:
        """The held-out images."""
        return self._whole[1]
