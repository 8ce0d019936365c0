"""A data set as an option of a run."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

from phis_lab.data.source import ImageSource
from phis_lab.data.subset import Subset


@dataclass(frozen=True, kw_only=True)
class DataSource(ABC):
    """A data set as an option: which images, how many of them, and in which order they are seen.

    Nothing is read before `train` or `test` is asked for.

    Attributes:
        train_images: size of the class-balanced training subset; None takes all.
        test_images: the same for the test images.
        batch_size: images per step over all processes.
        seed: of the order of the training images and of their augmentation.
        workers: processes that decode and augment; 0 does it in the training process.
    """

    train_images: int | None = None
    test_images: int | None = None
    batch_size: int = 128
    seed: int = 0
    workers: int = 0

    @abstractmethod
    def read(self) -> tuple[ImageSource, ImageSource]:
        """Returns all train and all test images, fetching them where that is possible."""

    @cached_property
    def _whole(self) -> tuple[ImageSource, ImageSource]:
        return self.read()

    @cached_property
    def train(self) -> ImageSource:
        """The training images."""
        return _subset(self._whole[0], self.train_images)

    @cached_property
    def test(self) -> ImageSource:
        """The held-out images."""
        return _subset(self._whole[1], self.test_images)


def _subset(source: ImageSource, count: int | None) -> ImageSource:
    return source if count is None else Subset(source, count)
