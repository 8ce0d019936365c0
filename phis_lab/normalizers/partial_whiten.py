"""Everything between scaling and whitening."""

from torch import Tensor

from phis_lab.bounds import WholeOrShare
from phis_lab.linalg import Moments
from phis_lab.normalizers.matrix import MatrixNormalizer, spectral_map
from phis_lab.normalizers.spread import checked_floor, floored, mean_variance


class PartialWhiten(MatrixNormalizer):
    """y = k diag(l ** (-gamma / 2)) U^T (x - mu), with k so that the mean variance of the channels is 1.

    gamma = 0 is `PCAScale`, where component i weighs by l_i in the loss; gamma = 1 is `PCAWhiten`, where
    all weigh alike; between them a component weighs by l_i ** (1 - gamma).

    Args:
        dim: channels of the teacher.
        gamma: how far to whiten, from 0 to 1.
        floor: the smallest eigenvalue, relative to the mean eigenvalue.

    Raises:
        ValueError: gamma lies outside [0, 1].
    """

    def __init__(self, dim: int, gamma: WholeOrShare = 0.5, floor: WholeOrShare = 1e-6) -> None:
        super().__init__(dim)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must lie between 0 (scale only) and 1 (whiten), got {gamma}")
        self.gamma = float(gamma)
        self.floor = checked_floor(floor)

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """W = k diag(l ** (-gamma / 2)) U^T."""
        eigenvalues, basis = moments.eigh()
        spectrum = floored(eigenvalues, self.floor * mean_variance(moments))
        scale = spectrum.pow(1 - self.gamma).mean().rsqrt()
        return spectral_map(moments.mean, scale * spectrum.pow(-self.gamma / 2), basis)
