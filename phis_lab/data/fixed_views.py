"""Images in views that never change, for features that are computed once and kept."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from phis_lab.data.left_out import CorruptCounter
from phis_lab.data.loading import Sample, Views
from phis_lab.data.sampler import Key
from phis_lab.data.workers import Workers
from phis_lab.shapes import Float, Int64


class Rendered(NamedTuple):
    """Images that decode, with their (index, view) keys; both may be empty."""

    images: Float[Tensor, "batch 3 height width"]
    keys: Int64[Tensor, "batch 2"]


class FixedViews:
    """Renders any views of a source's images, with the pixels that training and evaluations see.

    Args:
        samples: renders one view.
        split: "train" or "test".
        recipe: how views are rendered, as JSON values.
        views: how many views of each image a run visits.
        workers: processes that decode and render; 0 does it in this one.
        timeout_s: seconds after which a batch of theirs is no longer waited for.
    """

    def __init__(
        self, samples: Views, split: str, recipe: dict[str, Any], views: int, workers: int, timeout_s: int
    ) -> None:
        self.samples, self.split, self.recipe = samples, split, recipe
        self.workers, self.timeout_s = workers, timeout_s
        self.views, self.count = views, len(samples.source)
        self.image_size = samples.augmentation.image_size

    def identity(self) -> dict[str, Any]:
        """Everything that the pixels depend on."""
        return {"data": self.samples.source.fingerprint, **self.recipe}

    def image_name(self, index: int) -> str:
        """What an error calls an image."""
        return self.samples.source.image_name(index)

    def render(self, batches: Iterable[Sequence[Key]]) -> Iterator[Rendered]:
        """Yield the images of each batch in order, without the corrupt ones.

        Raises:
            ValueError: more than 1 % of the images are corrupt.
        """
        source = self.samples.source
        corrupt = CorruptCounter(source.name, len(source))
        loaded = Workers(self.samples, batches, _as_they_are, self.workers, self.timeout_s, self.image_name)
        for samples in loaded:
            broken = [sample for sample in samples if sample.image is None]
            corrupt.update([one.name for one in broken], len(samples), [one.reason for one in broken])
            yield self._stack(samples)

    def _stack(self, samples: Sequence[Sample]) -> Rendered:
        sound = [sample for sample in samples if sample.image is not None]
        if not sound:
            return Rendered(torch.empty(0, 3, self.image_size, self.image_size), torch.empty(0, 2, dtype=torch.int64))
        images = torch.stack([sample.image for sample in sound if sample.image is not None])
        return Rendered(images, torch.tensor([sample.key for sample in sound]))


def _as_they_are(samples: list[Sample]) -> list[Sample]:
    return samples
