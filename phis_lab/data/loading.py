"""From a source of images to checked batches of tensors."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from phis_lab.data.decoding import CorruptImageError, reading
from phis_lab.data.left_out import CorruptCounter
from phis_lab.data.sampler import Key
from phis_lab.data.source import ImageSource
from phis_lab.data.transforms import Augmentation
from phis_lab.data.workers import Workers
from phis_lab.shapes import Float, Int64


class Batch(NamedTuple):
    """What a step sees: images in [0, 1], their (index, view) keys, the names of corrupt ones, and what is wrong."""

    images: Float[Tensor, "batch 3 height width"]
    keys: Int64[Tensor, "batch 2"]
    corrupt: list[str]
    reasons: Sequence[str] = ()


class Sample(NamedTuple):
    """One rendered image, or None and the reason where it did not decode."""

    image: Tensor | None
    key: Key
    name: str
    reason: str = ""


class Views(Dataset[Sample], ABC):
    """Rendered images of a source, by (index, view)."""

    def __init__(self, source: ImageSource, augmentation: Augmentation) -> None:
        self.source = source
        self.augmentation = augmentation

    @abstractmethod
    def render(self, image: Tensor, key: Key) -> Tensor:
        """Turns a uint8 image into the float image of this key."""

    def __getitem__(self, key: Key) -> Sample:
        name = self.source.image_name(key[0])
        try:
            with reading(name):
                image = self.render(self.source.image(key[0]), key)
        except CorruptImageError as error:
            return Sample(None, key, name, error.reason)
        return Sample(image, key, name)


class TrainViews(Views):
    """Augmented images; `seed` is the augmentation's."""

    def __init__(self, source: ImageSource, augmentation: Augmentation, seed: int) -> None:
        super().__init__(source, augmentation)
        self.seed = seed

    def render(self, image: Tensor, key: Key) -> Tensor:  # noqa: D102
        return self.augmentation.random_view(image, self.seed, *key)


class CentralViews(Views):
    """Images as evaluations see them: the resized centre."""

    def render(self, image: Tensor, key: Key) -> Tensor:  # noqa: D102
        return self.augmentation.central_view(image)


def collate(samples: list[Sample]) -> Batch:
    """Stacks the samples that decoded, in their order.

    Raises:
        ValueError: none did.
    """
    images = [sample.image for sample in samples if sample.image is not None]
    corrupt = [sample for sample in samples if sample.image is None]
    if not images:
        some = ", ".join(f"{sample.name} ({sample.reason})" for sample in corrupt[:5])
        raise ValueError(f"no image of this batch decodes: {some} ({len(corrupt)} in all)")
    keys = [sample.key for sample in samples if sample.image is not None]
    names, reasons = [sample.name for sample in corrupt], [sample.reason for sample in corrupt]
    return Batch(torch.stack(images), torch.tensor(keys), names, reasons)


class BatchLoader:
    """Yields the batches of `sampler` and counts the corrupt images, in the process that asks for batches.

    It has no length on purpose: a trainer that resumes counts its batches on from those before the
    interruption and would end the pass when that count met the length of what remains.

    Args:
        views: the images.
        sampler: the keys of each batch.
        workers: processes that decode and render; 0 does it in this one. The pixels do not depend on it.
        timeout_s: seconds after which a batch of theirs is no longer waited for.
    """

    def __init__(self, views: Views, sampler: Iterable[list[Key]], workers: int, timeout_s: int) -> None:
        self.source = views.source
        self.corrupt = CorruptCounter(views.source.name, len(views.source))
        name, pinned = views.source.image_name, torch.cuda.is_available()
        self._batches = Workers(views, sampler, collate, workers, timeout_s, name, persistent=True, pinned=pinned)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self.corrupt.update(batch.corrupt, len(batch.keys) + len(batch.corrupt), batch.reasons)
            yield batch


class EvalLoader:
    """Yields (images, labels) of a source in its order, without the corrupt images.

    Args:
        batches: batches of central views.
        labels: label of every image of the source.
    """

    def __init__(self, batches: BatchLoader, labels: Int64[Tensor, "images"]) -> None:
        self.batches = batches
        self.labels = labels

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "batch 3 height width"], Int64[Tensor, "batch"]]]:
        for batch in self.batches:
            yield batch.images, self.labels[batch.keys[:, 0]]


def refuse_absent_classes(train: EvalLoader, test: EvalLoader) -> None:
    """Refuse test images of classes that the training images lack, for no classifier could ever answer them.

    Raises:
        ValueError: naming the classes and both sources.
    """
    source, known = test.batches.source, train.batches.source
    absent = sorted(set(test.labels.tolist()) - set(train.labels.tolist()))
    if absent:
        names = ", ".join(source.classes[label] for label in absent[:5])
        raise ValueError(
            f"{source.name} has images of {len(absent)} classes that the {len(known)} training images of {known.name} "
            f"lack: {names}; add training images of them, raise data.train_images and evaluation.train_images if these "
            "choose fewer than there are, or leave the classes out of the test images"
        )
