"""PHI-S with principal components in place of evenly mixed ones."""

from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.normalizers.matrix import MatrixNormalizer, spectral_map
from phis_lab.normalizers.spread import mean_variance


class PCAScale(MatrixNormalizer):
    """y = U^T (x - mu) / phi: PHI-S's scale, but each channel is one principal component.

    Its MSE equals that of PHI-S value by value; its channels' variances differ as much as the eigenvalues do.
    """

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """W = U^T / phi."""
        _, basis = moments.eigh()
        return spectral_map(moments.mean, mean_variance(moments).rsqrt(), basis)
