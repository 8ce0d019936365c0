"""DUNE's standardisation: the batch's own statistics in training, running ones in evaluation."""

import torch
from torch import Tensor

from phis_lab.bounds import WholeOrAbove, WholeOrShare
from phis_lab.normalizers.running_standardize import RunningStandardize
from phis_lab.shapes import Float, Float64


class BatchStandardize(RunningStandardize):
    """Normalises a training batch by its own statistics, over all processes, and keeps running ones beside them.

    Every training batch has mean 0 and variance 1 per channel, so a target depends on the images around it, and
    evaluation, by running statistics, sees others than training did.

    Args:
        dim: channels of the teacher.
        momentum_start: weight of the new batch at the beginning of a run.
        momentum_end: the same at its end.
        min_deviation: the smallest deviation a channel is taken to have, in units of the teacher's features.

    Raises:
        ValueError: a momentum is outside [0, 1], or `min_deviation` is not positive.

    Source:
        DUNE (Sariyildiz et al., CVPR 2025), whose constants these are.
    """

    def __init__(
        self,
        dim: int,
        momentum_start: WholeOrShare = 1.0,
        momentum_end: WholeOrShare = 1e-3,
        min_deviation: WholeOrAbove = 1e-3,
    ) -> None:
        super().__init__(dim, momentum_start, momentum_end)
        if not min_deviation > 0:
            raise ValueError(f"min_deviation must be positive, got {min_deviation}; it keeps dead channels finite")
        self.min_deviation = float(min_deviation)

    def divisor(self, deviation: Float64[Tensor, "dim"]) -> Float64[Tensor, "dim"]:
        """The deviation, at least `min_deviation`."""
        return deviation.clamp_min(self.min_deviation)

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Normalises teacher features, in training by the statistics of the batch itself."""
        if not self.training:
            return super().forward(x)
        shift, scale = self._learn(x)
        cast, _ = self.prepare(x)
        return torch.addcmul((-scale * shift).to(cast), cast, scale.to(cast))

    @torch.inference_mode(False)
    @torch.no_grad()
    def _learn(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, divisor = self.batch_statistics(x)
        self.take_in(mean, divisor)
        return mean, divisor.reciprocal()
