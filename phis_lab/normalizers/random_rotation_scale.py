"""PHI-S with a random rotation."""

from typing import ClassVar

from torch import Tensor

from phis_lab.linalg import Moments, random_rotation
from phis_lab.normalizers.matrix import MatrixNormalizer, spectral_map
from phis_lab.normalizers.spread import checked_seed, mean_variance


class RandomRotationScale(MatrixNormalizer):
    """y = Q (x - mu) / phi with a Haar-distributed rotation Q: PHI-S's scale in an arbitrary basis.

    Its MSE equals that of PHI-S value by value; its channels' variances are equal only on average over Q.

    Args:
        dim: channels of the teacher.
        seed: draws Q; the same seed gives the same Q.
    """

    needs_covariance: ClassVar[bool] = False

    def __init__(self, dim: int, seed: int = 0) -> None:
        super().__init__(dim)
        self.seed = checked_seed(seed)

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """W = Q / phi."""
        rotation = random_rotation(self.dim, self.seed).to(moments.mean.device)
        return spectral_map(moments.mean, mean_variance(moments).rsqrt(), rotation.T)
