"""Images that are read by position."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from phis_lab.shapes import Int64

UNLABELLED = -1


class UnlabelledError(ValueError):
    """An evaluation needs labels, or test images, and the data have none.

    Args:
        why: what is missing, without a full stop.
        who: the evaluation.
    """

    def __init__(self, why: str, who: str = "this evaluation") -> None:
        self.why = why
        super().__init__(
            f"{who} needs labels and test images: {why}; add them, choose evaluation=matching, which needs neither, or "
            "measure on a data set that has them with evaluation.data=..."
        )


def digest(*parts: str | bytes) -> str:
    """Returns the sha256 of `parts`, each behind its length, so that moving a boundary changes the result."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        sha.update(f"{len(data)}:".encode())
        sha.update(data)
    return sha.hexdigest()


class ImageSource(ABC):
    """Images that are read by position, in any order and any number of times.

    Random access is what makes the order of samples a pure function of the seed and the step, and so makes
    resumed, distributed and shared-teacher runs see the same batches. Labels serve evaluations only; training
    reads none.

    Args:
        name: what logs and records call the source, as in `fashion_mnist/train`.
        fingerprint: sha256 that changes when the images do; runs with equal fingerprints saw equal data.
        labels: class of every image, -1 where it has none.
        classes: names of the classes.

    Raises:
        ValueError: a label has no class name.
    """

    def __init__(self, name: str, fingerprint: str, labels: Int64[Tensor, "images"], classes: Iterable[str]) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.labels = labels
        self.classes = tuple(classes)
        largest = int(labels.max()) if len(labels) else UNLABELLED
        if largest >= len(self.classes):
            raise ValueError(
                f"{name}: labels count from 0 and each has a class name, got label {largest} with "
                f"{len(self.classes)} names; complete the names"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def image(self, index: int) -> Tensor:
        """Returns image `index` as uint8 [3, h, w]; a grey one is repeated over the three channels.

        Raises:
            CorruptImageError: the image does not decode.
        """

    def image_name(self, index: int) -> str:
        """Returns the name under which a corrupt image is reported."""
        return f"{self.name}[{index}]"


class NoImages(ImageSource):
    """Stands for the test images of a data set that has none; its length is 0.

    Args:
        name: what logs and records call it.
        reason: one sentence without its full stop, which says where test images were looked for.
        classes: names of the classes of the training images.
    """

    def __init__(self, name: str, reason: str, classes: Iterable[str] = ()) -> None:
        super().__init__(name, digest("no images"), torch.empty(0, dtype=torch.int64), classes)
        self.reason = reason

    def image(self, index: int) -> Tensor:  # noqa: D102
        raise IndexError(index)


class TensorImages(ImageSource):
    """Images held in memory, uint8 [images, h, w] if grey or [images, 3, h, w] in colour."""

    def __init__(self, name: str, images: Tensor, labels: Int64[Tensor, "images"], classes: Iterable[str]) -> None:
        fingerprint = digest(str(tuple(images.shape)), images.numpy().tobytes(), labels.numpy().tobytes())
        super().__init__(name, fingerprint, labels, classes)
        self.images = images

    def image(self, index: int) -> Tensor:  # noqa: D102
        image = self.images[index]
        return image if image.ndim == 3 else image.expand(3, *image.shape)
