"""PHI-S without its rotation."""

from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.normalizers.elementwise import ElementwiseNormalizer
from phis_lab.normalizers.spread import mean_variance


class CenterScale(ElementwiseNormalizer):
    """y = (x - mu) / phi: centred channels under PHI-S's single scale, phi^2 = mean variance.

    Its MSE equals that of PHI-S value by value, so against PHI-S it shows what the rotation alone does.
    """

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """Takes the mean variance."""
        return {"shift": moments.mean, "scale": mean_variance(moments).rsqrt().expand(self.dim)}
