"""Whitening that stays as close as it can to the teacher's own channels."""

from torch import Tensor

from phis_lab.normalizers.matrix import Whiten
from phis_lab.shapes import Float64


class ZCAWhiten(Whiten):
    """y = U L^-1/2 U^T (x - mu) = covariance^-1/2 (x - mu): whitened, symmetric (PHI-S, 2.2.2, "ZCA").

    Signs and order of the eigenvectors cancel, so small changes of the covariance change the map little.
    """

    def mixing(self, basis: Float64[Tensor, "dim dim"]) -> Float64[Tensor, "dim dim"]:
        """Q = U."""
        return basis
