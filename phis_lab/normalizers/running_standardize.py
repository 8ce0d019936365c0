"""What the standardisations with running statistics share: they learn from the batches that they normalise."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from phis_lab import processes
from phis_lab.bounds import WholeOrShare
from phis_lab.linalg import Moments
from phis_lab.normalizers.elementwise import ElementwiseNormalizer
from phis_lab.shapes import Float, Float64


class RunningStandardize(ElementwiseNormalizer):
    """y_c = (x_c - mu_c) / sigma_c with running averages of the batches' means and deviations.

    In training `forward` takes in each batch, over all processes: mu <- (1 - m) mu + m mu_batch, and sigma likewise;
    deviations are averaged, not variances. Call it once per step. In evaluation the averages are used and stay.
    `inverse`, `affine` and `fold_into` always use them. They begin at 0 and 1, so there is nothing to fit.

    Args:
        dim: channels of the teacher.
        momentum_start: m at the beginning of a run.
        momentum_end: m at its end.

    Attributes:
        momentum: m, the weight of the new batch, which `schedule` sets.

    Raises:
        ValueError: a momentum is outside [0, 1].
    """

    summary_map = "own"

    def __init__(self, dim: int, momentum_start: WholeOrShare = 1.0, momentum_end: WholeOrShare = 1e-3) -> None:
        super().__init__(dim)
        for momentum in (momentum_start, momentum_end):
            if not 0 <= momentum <= 1:
                raise ValueError(f"a momentum is the weight of the new batch, between 0 and 1, got {momentum}")
        self.momentum_start, self.momentum_end = float(momentum_start), float(momentum_end)
        self.momentum = self.momentum_start
        self.scale = torch.ones_like(self.scale)
        self.fitted = torch.ones_like(self.fitted)
        self.is_fitted = True

    def schedule(self, progress: float) -> None:
        """Sets the momentum by half a cosine from `momentum_start` to `momentum_end`.

        Raises:
            ValueError: `progress` is outside [0, 1].
        """
        if not 0 <= progress <= 1:
            raise ValueError(f"progress is the share of the run that is done, between 0 and 1, got {progress}")
        descent = (1 + math.cos(math.pi * progress)) / 2
        self.momentum = self.momentum_end + (self.momentum_start - self.momentum_end) * descent

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """Takes nothing from given moments: the statistics are those of the batches."""
        del moments
        return {}

    @abstractmethod
    def divisor(self, deviation: Float64[Tensor, "dim"]) -> Float64[Tensor, "dim"]:
        """What a batch of this deviation is divided by: the deviation, kept away from zero."""

    def batch_statistics(self, x: Float[Tensor, "*rows dim"]) -> tuple[Float64[Tensor, "dim"], Float64[Tensor, "dim"]]:
        """Mean and divisor of a batch, over all processes; they exchange sums, not features.

        Raises:
            ValueError: the processes have fewer than two rows together, or a row holds NaN or inf.
        """
        moments = Moments(self.dim, diagonal=True).update(x)
        if processes.world_size() > 1:
            moments.all_reduce(processes.current_group())
        if moments.count < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 rows in a training batch, got {moments.count}; "
                "use a larger batch, or call eval() to normalise by the running statistics"
            )
        return moments.mean.to(self.shift.device), self.divisor(moments.variance.sqrt().to(self.shift.device))

    def take_in(self, mean: Float64[Tensor, "dim"], divisor: Float64[Tensor, "dim"]) -> None:
        """Moves the running statistics towards those of a batch."""
        self.shift = self.shift.lerp(mean, self.momentum)
        self.scale = self.scale.reciprocal().lerp(divisor, self.momentum).reciprocal()
        self._casts.clear()
