"""Images made of random numbers, in views that never change, for tests of the feature store."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Key = tuple[int, int]


class DrawnImages:
    """Image i in view v is drawn from the seed 1,000 v + i; those in `corrupt` do not decode."""

    split = "train"
    image_size = 16

    def __init__(self, count: int = 40, views: int = 2, corrupt: Collection[int] = (), data: str = "drawn") -> None:
        self.count, self.views, self.corrupt, self.data = count, views, set(corrupt), data
        self.rendered: list[Key] = []

    def identity(self) -> dict[str, Any]:
        return {"data": self.data}

    def image_name(self, index: int) -> str:
        return f"drawn[{index}]"

    def render(self, batches: Iterable[Sequence[Key]]) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches:
            sound = [key for key in batch if key[0] not in self.corrupt]
            self.rendered += batch
            images = [self.image(*key) for key in sound]
            yield (
                torch.stack(images) if images else torch.empty(0, 3, 16, 16),
                torch.tensor(sound, dtype=torch.int64).view(-1, 2),
            )

    def image(self, index: int, view: int) -> Tensor:
        return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1000 * view + index))

    def all_keys(self) -> Tensor:
        """Every key that decodes, in an order that jumps about."""
        keys = [(i, v) for v in range(self.views) for i in range(self.count) if i not in self.corrupt]
        order = torch.randperm(len(keys), generator=torch.Generator().manual_seed(0))
        return torch.tensor(keys)[order]

    def batch(self, keys: Tensor) -> Tensor:
        """The images of some keys."""
        return torch.stack([self.image(*key) for key in keys.tolist()])
