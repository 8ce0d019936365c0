"""Balancers: rows of losses in, one number out, with weights that are set, adapted or drawn."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal

import torch
from torch import Tensor, nn

from phis_lab import processes
from phis_lab.guards import require_tensors
from phis_lab.shapes import Bool, Float

_SMALLEST_MEAN = 1e-12


class Balancer(nn.Module, ABC):
    """Weighs rows of losses, averages them over images and sums them over rows."""

    @abstractmethod
    def weigh(self, rows: Float[Tensor, "rows batch"]) -> Float[Tensor, "rows #batch"]:
        """Returns a weight for each row, or for each image of each row; `rows` carry no gradient."""

    def reseed(self, name: str) -> None:
        """Begin draws of its own, named by stage and partition; a balancer that draws nothing ignores it."""

    def forward(self, rows: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Returns sum over rows of mean over images of weight times loss.

        Args:
            rows: [rows, batch], one row per teacher and kind of feature, in an order that never changes.

        Raises:
            ValueError: `rows` is not a non-empty matrix.
        """
        require_tensors(rows=rows)
        if rows.ndim != 2 or rows.numel() == 0:
            raise ValueError(f"losses must be stacked as [rows, batch] and not be empty, got {tuple(rows.shape)}")
        return (self.weigh(rows.detach()) * rows).mean(dim=1).sum()


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


class Uniform(Balancer):
    """Constant weights: sum_t w_t mean_b rows[t, b]. Conditioning is left to the normaliser, as in PHI-S.

    Args:
        weights: one per row; None weighs all rows by 1.

    Raises:
        ValueError: a weight is negative or not finite.
    """

    def __init__(self, weights: Sequence[float | int] | None = None) -> None:
        super().__init__()
        if weights is not None and not all(math.isfinite(w) and w >= 0 for w in weights):
            raise ValueError(f"weights must be finite and not negative, got {list(weights)}")
        self.weights = None if weights is None else tuple(weights)

    def weigh(self, rows: Float[Tensor, "rows batch"]) -> Float[Tensor, "rows 1"]:
        """Returns the constants."""
        if self.weights is None:
            return torch.ones_like(rows[:, :1])
        if len(self.weights) != len(rows):
            raise ValueError(f"{len(self.weights)} weights for {len(rows)} rows of losses; give one weight per row")
        return rows.new_tensor(self.weights)[:, None]


class AdaLoss(Balancer):
    """Divides each row by the running mean of itself, so every row contributes about 1 whatever its scale.

    w_t = 1 / a_t, where a_t <- m a_t + (1 - m) mean_b rows[t, b] starts at the first mean (PHI-S, A.8.1;
    m = 0.99 in AM-RADIO). A teacher thus gets the more weight the better it is matched. The mean is over
    all ranks, so all use the same weights. In evaluation the average is used, not updated.

    Args:
        momentum: m, the part of the average that survives a step.

    Raises:
        ValueError: `momentum` is outside [0, 1).
    """

    average: Tensor

    def __init__(self, momentum: float = 0.99) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        self.momentum = momentum
        self.register_buffer("average", torch.empty(0))

    def weigh(self, rows: Float[Tensor, "rows batch"]) -> Float[Tensor, "rows 1"]:
        """Returns one over the running mean of each row, after it has seen these rows."""
        if len(self.average) not in (0, len(rows)):
            raise ValueError(f"the running means are of {len(self.average)} rows of losses, got {len(rows)}")
        average = self.average
        if self.training or len(average) == 0:
            mean = processes.average(rows.mean(dim=1).float())
            average = average.lerp(mean, 1 - self.momentum) if len(average) else mean
        if self.training:
            self.average = average
        return average.clamp_min(_SMALLEST_MEAN).reciprocal()[:, None]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(prefix + "average", self.average)
        self.average = self.average.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)
