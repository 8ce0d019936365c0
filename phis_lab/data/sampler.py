"""Which images and views a step sees, as a pure function of the seed and the step."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from phis_lab.seeds import named_seed

Key = tuple[int, int]


class StepSampler(Sampler[list[Key]]):
    """Yields the (index, view) pairs of each step from `start` to `steps`, for one of `world` processes.

    Every epoch is a permutation of all images, seeded by (seed, epoch) and cut into batches; the images that
    do not fill a last batch are left out, so that a batch never straddles epochs. A step's batch is therefore
    computable without the steps before it: a resumed run continues exactly, and the processes' parts, laid
    side by side, are the batch of a single process.

    Args:
        num_images: size of the data set.
        batch_size: images per step over all processes.
        steps: steps of the whole run.
        seed: of the permutations.
        start: first step to yield; the steps that a resumed run has done.
        rank: this process.
        world: number of processes.
        views: fixed views per image, taken in turn over the epochs; None gives every epoch its own.
        part: the images of a batch that are wanted; None for all. The processes share these.

    Raises:
        ValueError: the batch does not divide among the processes, or is larger than the data set.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        steps: int,
        seed: int,
        *,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        views: int | None = None,
        part: slice | None = None,
    ) -> None:
        if not 1 <= batch_size <= num_images:
            raise ValueError(
                f"batch_size is between 1 and the {num_images} training images, got {batch_size}; lower data.batch_size"
            )
        low, high, _ = (part or slice(batch_size)).indices(batch_size)
        if (high - low) % world:
            raise ValueError(
                f"a batch counts the images of all processes, and {high - low} do not divide among {world}; set "
                f"data.batch_size to a multiple of {world}"
            )
        if not 0 <= rank < world:
            raise ValueError(f"rank is between 0 and world - 1 = {world - 1}, got {rank}")
        if not 0 <= start <= steps:
            raise ValueError(f"start is between 0 and the run's {steps} steps, got {start}; raise the steps")
        if views is not None and views < 1:
            raise ValueError(f"views is a positive number or null for fresh ones every epoch, got {views}")
        self.num_images = num_images
        self.batch_size = batch_size
        self.steps = steps
        self.seed = seed
        self.start = start
        self.views = views
        share = (high - low) // world
        self._part = slice(low + rank * share, low + (rank + 1) * share)

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        per_epoch = self.num_images // self.batch_size
        order, order_epoch = torch.empty(0), -1
        for step in range(self.start, self.steps):
            epoch, position = divmod(step, per_epoch)
            if epoch != order_epoch:
                order, order_epoch = self._permutation(epoch), epoch
            batch = order[position * self.batch_size : (position + 1) * self.batch_size]
            view = epoch if self.views is None else epoch % self.views
            yield [(index, view) for index in batch[self._part].tolist()]

    def _permutation(self, epoch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(named_seed("order", self.seed, epoch))
        return torch.randperm(self.num_images, generator=generator)
