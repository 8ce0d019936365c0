"""UNIC's standardisation: running statistics, used before they have seen the batch."""

import torch
from torch import Tensor

from phis_lab.bounds import WholeOrAbove, WholeOrShare
from phis_lab.normalizers.running_standardize import RunningStandardize
from phis_lab.shapes import Float, Float64


class EMAStandardize(RunningStandardize):
    """Normalises a training batch by the running statistics, then takes the batch in.

    A batch's divisor is its unbiased deviation plus 2 epsilon: UNIC adds epsilon once to each batch's deviation and
    once to the average. The momentum falls from 1 to 0.001 by a cosine over the run: the first step trains on raw
    features, the first half of the run is standardised by little more than the batch before, and only the last fifth
    by a long average. A channel that never varies is multiplied by 1 / (2 epsilon).

    Args:
        dim: channels of the teacher.
        momentum_start: weight of the new batch at the beginning of a run.
        momentum_end: the same at its end.
        epsilon: in units of the teacher's features.
        update_first: takes the batch in before it is normalised. Not UNIC's; it tells what the delay does.

    Raises:
        ValueError: a momentum is outside [0, 1], or `epsilon` is not positive.

    Source:
        UNIC (arXiv 2408.05088), section 3.3; constants and order are those of its experiments.
    """

    def __init__(
        self,
        dim: int,
        momentum_start: WholeOrShare = 1.0,
        momentum_end: WholeOrShare = 1e-3,
        epsilon: WholeOrAbove = 1e-6,
        update_first: bool = False,
    ) -> None:
        super().__init__(dim, momentum_start, momentum_end)
        if not epsilon > 0:
            raise ValueError(f"epsilon must be positive, got {epsilon}; it keeps dead channels finite")
        self.epsilon, self.update_first = float(epsilon), update_first
        self.scale = self.scale / (1 + epsilon)

    def divisor(self, deviation: Float64[Tensor, "dim"]) -> Float64[Tensor, "dim"]:
        """The deviation plus 2 epsilon."""
        return deviation + 2 * self.epsilon

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Normalises teacher features, in training by the statistics of the batches before."""
        if not self.training:
            return super().forward(x)
        if self.update_first:
            self._learn(x)
            return super().forward(x)
        y = super().forward(x)
        self._learn(x)
        return y

    @torch.inference_mode(False)
    @torch.no_grad()
    def _learn(self, x: Tensor) -> None:
        self.take_in(*self.batch_statistics(x))
