"""Frozen features of labelled images, one vector per image."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from phis_lab.data.decoding import CorruptImageError, reading
from phis_lab.data.left_out import CorruptCounter
from phis_lab.data.source import ImageSource
from phis_lab.data.transforms import Augmentation, Interpolation, central_view
from phis_lab.evals.score import Embeddings
from phis_lab.evals.subject import Images, Labelled, Subject
from phis_lab.features import Features, Tokens
from phis_lab.shapes import Float


def pooled(features: Features) -> Float[Tensor, "b d"]:
    """The summary in float32, or the mean of the spatial tokens of a network without one.

    Raises:
        ValueError: NaN or infinity in it.
    """
    rows = features.float().per_image()
    if not rows.isfinite().all():
        raise ValueError("the features of an image hold NaN or infinity; look at the student before it is evaluated")
    return rows


def embed(network: Callable[[Images], Features], batches: Labelled) -> Embeddings:
    """Pooled features of labelled images.

    Args:
        network: such as `Subject.tokens`.
        batches: of images and their labels.

    Raises:
        ValueError: no batch, or NaN in the features.
    """
    found = [(pooled(network(images)), labels) for images, labels in batches]
    if not found:
        raise ValueError("there are no images to evaluate on")
    features, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Embeddings(features, labels.to(features.device))


def source_batches(
    source: ImageSource, view: Callable[[Tensor], Tensor], device: torch.device, size: int = 128
) -> Labelled:
    """Labelled batches of a source's images on the device, made one at a time, without the corrupt ones.

    Args:
        source: the images.
        view: renders a uint8 image to one [3, h, w] in [0, 1].
        device: where the batches go.
        size: images per batch.

    Raises:
        ValueError: more than 1 % of the images are corrupt.
    """
    counter = CorruptCounter(source.name, len(source))
    for positions in torch.arange(len(source)).split(size):
        shown: dict[int, Tensor] = {}
        for position in positions.tolist():
            try:
                with reading(source.image_name(position)):
                    shown[position] = view(source.image(position))
            except CorruptImageError as error:
                counter.update([error.name], 1, [error.reason])
            else:
                counter.update([], 1)
        if shown:
            yield torch.stack([*shown.values()]).to(device), source.labels[list(shown)].to(device)


def as_own(subject: Subject, source: ImageSource, interpolation: Interpolation) -> Labelled:
    """Batches of other images, which stand beside those of the run and are rendered as these are."""
    view = Augmentation(subject.image_size, interpolation=interpolation).central_view
    return source_batches(source, view, subject.device)


def embed_source(
    subject: Subject, source: ImageSource, which: Tokens, batch_size: int, interpolation: Interpolation
) -> Embeddings:
    """Features of the central views of all images of a source, in float32 on the subject's device.

    Raises:
        ValueError: the student has no such tokens, or NaN in them.
    """
    view = central_view(subject.image_size, interpolation)

    def rendered(image: Tensor) -> Tensor:
        shown: Tensor = view(image)
        return shown.float() / 255

    return embed(_chosen(subject, which), source_batches(source, rendered, subject.device, batch_size))


def embed_own(subject: Subject, split: Literal["train", "test"], count: int, which: Tokens) -> Embeddings:
    """Features of the run's own labelled images.

    Raises:
        ValueError: the student has no such tokens, or NaN in them.
    """
    return embed(_chosen(subject, which), subject.images(split, count))


def _chosen(subject: Subject, which: Tokens) -> Callable[[Images], Features]:
    return lambda images: Features(subject.tokens(images).pooled(which), None)
