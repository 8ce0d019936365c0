"""One vector per image out of a network's features."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from phis_lab.evals.probes import Embeddings
from phis_lab.evals.subject import Images, Labelled
from phis_lab.shapes import Float, Int64
from phis_lab.teachers import Features


def pooled(features: Features) -> Float[Tensor, "b d"]:
    """The summary in float32, or the mean of the spatial tokens of a network without one.

    Raises:
        ValueError: NaN or infinity in it.
    """
    summary = features.summary
    if summary is None:
        assert features.spatial is not None
        summary = features.spatial.float().mean(dim=(1, 2))
    if not summary.isfinite().all():
        raise ValueError("the features of an image hold NaN or infinity; look at the student before it is evaluated")
    return summary.float()


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


def in_batches(
    images: Iterable[Tensor], labels: Int64[Tensor, " n"], device: torch.device, size: int = 128
) -> Labelled:
    """Stacks images [3, h, w] in [0, 1], made one at a time, to labelled batches on the device."""
    waiting: list[Tensor] = []
    first = 0
    for image in images:
        waiting.append(image)
        if len(waiting) == size:
            yield torch.stack(waiting).to(device), labels[first : first + size].to(device)
            first, waiting = first + size, []
    if waiting:
        yield torch.stack(waiting).to(device), labels[first:].to(device)
