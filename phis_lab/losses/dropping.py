"""UNIC's teacher dropping: the teachers that an image already matches well are left out at random."""

from hashlib import blake2b
from typing import Literal

import torch
from torch import Tensor

from phis_lab import processes
from phis_lab.losses.balancer import Balancer
from phis_lab.shapes import Bool, Float


class TeacherDropping(Balancer):
    """Each image keeps the teacher that it matches worst and drops each other one with probability p.

    sum(c * loss) / sum(c) over images and teachers, with c = 1 where the loss is the image's highest and else
    1 - delta, delta ~ Bernoulli(p). Every kept pair weighs alike, so an image with more kept teachers weighs more.
    With p = 0 or one teacher it is the plain mean. Rows must be comparable: one per teacher, of standardised
    targets (`loss=unic`). With a loss that has two rows per teacher, kinds of features would be dropped.

    In training the sum of c is over the images of the own process, as in UNIC. The draws are on the CPU, and each
    process takes its part of those for all: they are the same on every device and for any number of processes, and
    the state of any process is that of all. In evaluation nothing is dropped or drawn.

    Args:
        probability: p; the paper takes 0.25 for two teachers and 0.5 for four.
        level: `image` decides for each image, `batch` once for the whole batch over all processes.
        seed: of the draws.

    Raises:
        ValueError: `probability` is outside [0, 1], or `seed` is no seed.

    Source:
        UNIC (arXiv 2408.05088), eq. 4; the normalisation by kept pairs is that of its experiments.
    """

    def __init__(
        self, probability: float | int = 0.5, level: Literal["image", "batch"] = "image", seed: int = 0
    ) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must lie in [0, 1], got {probability}")
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed must lie in [0, 2^32), got {seed}")
        self.probability, self.level = float(probability), level
        self.seed = seed
        self._generator = torch.Generator()
        self.reseed("")

    def weigh(self, rows: Float[Tensor, "rows batch"]) -> Float[Tensor, "rows #batch"]:
        """Returns c over its mean over images and sum over teachers, which makes `forward` the mean over kept pairs."""
        if not self.training:
            return torch.full_like(rows[:, :1], 1 / len(rows))
        if self.level == "batch":
            rows = processes.average(rows.mean(dim=1, keepdim=True))
        kept = (self._survives(rows) | (rows >= rows.amax(dim=0))).to(rows.dtype)
        return kept * (kept.shape[1] / kept.sum())

    def _survives(self, rows: Float[Tensor, "rows batch"]) -> Bool[Tensor, "rows batch"]:
        """One draw for each pair of all processes, or of the batch, of which this process takes its own."""
        teachers, images = rows.shape
        parts = processes.world_size() if self.level == "image" else 1
        draws = torch.rand(teachers, parts * images, generator=self._generator, pin_memory=rows.is_cuda)
        own = draws.narrow(1, processes.rank() * images if parts > 1 else 0, images)
        return own.to(rows.device, non_blocking=True) >= self.probability

    def reseed(self, name: str) -> None:
        """Begin the draws of this name."""
        self._generator.manual_seed(_own_seed(f"{self.seed} {name}"))

    def get_extra_state(self) -> Tensor:
        """The state of the draws, so that a resumed run drops what an uninterrupted one would."""
        return self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Goes on with the draws where the state was taken."""
        self._generator.set_state(state.cpu())


def _own_seed(seed: str) -> int:
    """Not the seed itself, from which the student's initialisation is drawn."""
    return int.from_bytes(blake2b(f"teacher dropping {seed}".encode(), digest_size=4).digest(), "big")
