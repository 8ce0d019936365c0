"""What the three whitening methods share."""

from abc import abstractmethod

from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.normalizers.matrix import MatrixNormalizer, spectral_map
from phis_lab.normalizers.spread import checked_floor, floored, mean_variance
from phis_lab.shapes import Float64


class Whiten(MatrixNormalizer):
    """y = Q L^-1/2 U^T (x - mu): unit covariance, whichever rotation Q a method chooses (PHI-S, eq. 9-12).

    All choices have the same MSE, the Mahalanobis error / C: faint components weigh as much as strong ones.

    Args:
        dim: channels of the teacher.
        floor: the smallest eigenvalue, relative to the mean eigenvalue; fainter components are whitened less.
    """

    def __init__(self, dim: int, floor: float | int = 1e-6) -> None:
        super().__init__(dim)
        self.floor = checked_floor(floor)

    @abstractmethod
    def mixing(self, basis: Float64[Tensor, "dim dim"]) -> Float64[Tensor, "dim dim"] | None:
        """Q, given the eigenvectors; None stands for the identity."""

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """W = Q L^-1/2 U^T."""
        eigenvalues, basis = moments.eigh()
        gains = floored(eigenvalues, self.floor * mean_variance(moments)).rsqrt()
        return spectral_map(moments.mean, gains, basis, self.mixing(basis))
