"""Unit variance for each channel by itself."""

from torch import Tensor

from phis_lab.bounds import WholeOrShare
from phis_lab.linalg import Moments
from phis_lab.normalizers.elementwise import ElementwiseNormalizer
from phis_lab.normalizers.spread import checked_floor, floored, mean_variance


class Standardize(ElementwiseNormalizer):
    """y_c = (x_c - mu_c) / sigma_c: each channel gets mean 0 and variance 1, correlations stay (PHI-S, 2.2).

    An error in the teacher's space grows with its channel's deviation, so quiet channels weigh as much as
    loud ones.

    Args:
        dim: channels of the teacher.
        floor: the smallest variance a channel is taken to have, relative to the mean variance.
    """

    def __init__(self, dim: int, floor: WholeOrShare = 1e-6) -> None:
        super().__init__(dim)
        self.floor = checked_floor(floor)

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """Takes the deviation of each channel."""
        variance = floored(moments.variance, self.floor * mean_variance(moments))
        return {"shift": moments.mean, "scale": variance.rsqrt()}
