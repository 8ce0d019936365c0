"""One mean and one deviation for all channels."""

from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.normalizers.elementwise import ElementwiseNormalizer
from phis_lab.normalizers.spread import mean_variance


class GlobalStandardize(ElementwiseNormalizer):
    """y = (x - mu_g) / sigma_g with the scalar mean and deviation over all channels and samples.

    sigma_g^2 = phi^2 + Var_c(mu_c): what the channel means differ by counts as variance, so teachers whose
    means are far apart are weighted down by it (PHI-S, eq. 5-8 and A.5.2). Errors keep their direction.
    """

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """Pools mean and variance over the channels."""
        means = moments.mean
        variance = mean_variance(moments) + means.var(correction=0)
        return {"shift": means.mean().expand(self.dim), "scale": variance.rsqrt().expand(self.dim)}
