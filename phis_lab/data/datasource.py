"""A data set as an option of a run."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from phis_lab.bounds import Positive, Seed, Workers
from phis_lab.data.source import ImageSource, NoImages, UnlabelledError
from phis_lab.data.subset import HeldOut, Subset, hold_out


@dataclass(frozen=True, kw_only=True)
class DataSource(ABC):
    """A data set as an option: which images, how many of them, and in which order they are seen.

    Nothing is read before `train` or `test` is asked for.

    Attributes:
        train_images: size of the class-balanced training subset; None takes all.
        test_images: the same for the test images.
        batch_size: images per step over all processes.
        seed: of the order of the training images, and of views that are drawn afresh.
        workers: processes that decode and augment; 0 does it in the training process.
        timeout_s: seconds after which a batch that a worker makes is no longer waited for, so that a frozen one ends
            the run with a message; the same command goes on.

    Raises:
        ValueError: a size is not positive, or `workers` is negative.
    """

    train_images: Positive | None = None
    test_images: Positive | None = None
    batch_size: Positive = 128
    seed: Seed = 0
    workers: Workers = 0
    timeout_s: Positive = 600

    def __post_init__(self) -> None:
        for name, least in (
            ("train_images", 1),
            ("test_images", 1),
            ("batch_size", 1),
            ("workers", 0),
            ("timeout_s", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"data.{name} is at least {least}, got {value}")

    @abstractmethod
    def read(self) -> tuple[ImageSource, ImageSource]:
        """Returns all train and all test images, fetching them where that is possible.

        A data set without test images gives `NoImages` in their place, and some training images are held out.
        """

    @cached_property
    def _whole(self) -> tuple[ImageSource, ImageSource]:
        train, test = self.read()
        return hold_out(train, test) if isinstance(test, NoImages) else (train, test)

    @property
    def lacks_test(self) -> str | None:
        """Why there are no test images, where `test` stands for them with images held out of training; else None."""
        test = self._whole[1]
        return test.reason if isinstance(test, HeldOut) else None

    @cached_property
    def train(self) -> ImageSource:
        """The training images."""
        return _subset(self._whole[0], self.train_images)

    @cached_property
    def test(self) -> ImageSource:
        """The test images; where there are none, training images that are held out (see `hold_out`)."""
        return _subset(self._whole[1], self.test_images)


@contextmanager
def read_at(node: str) -> Iterator[None]:
    """Let what a data set refuses name its options where they stand, if that is not `data`.

    Args:
        node: dotted name of the data set in the configuration, such as `evaluation.data`.
    """
    try:
        yield
    except UnlabelledError:
        raise
    except ValueError as error:
        text = re.sub(r"(?<![\w./])data(?=\.\w|=)", node, str(error))
        raise ValueError(text if node in text else f"{node}: {text}") from error


def _subset(source: ImageSource, count: int | None) -> ImageSource:
    return source if count is None else Subset(source, count)
