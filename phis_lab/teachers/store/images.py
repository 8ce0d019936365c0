"""What the store asks of a data set: images in views that never change."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from phis_lab.shapes import Float, Int64

Key = tuple[int, int]
"""Index of an image and number of its view."""


Rendered = tuple[Float[Tensor, "batch 3 height width"], Int64[Tensor, "batch 2"]]
"""The images among the keys asked for that decode, and their keys."""


@runtime_checkable
class FixedImages(Protocol):
    """Images that a run will see, each in the same few views."""

    split: str
    """Such as "train"; part of the key."""
    count: int
    views: int
    """How many views are visited; their numbers are 0 ... views - 1."""
    image_size: int

    def identity(self) -> dict[str, Any]:
        """Everything that the pixels depend on, as JSON values."""

    def image_name(self, index: int) -> str:
        """What an error calls an image."""

    def render(self, batches: Iterable[Sequence[Key]]) -> Iterator[Rendered]:
        """The images of each batch, in order; without those that do not decode, perhaps without any."""
