"""Whitening along the principal components."""

from torch import Tensor

from phis_lab.normalizers.matrix import Whiten
from phis_lab.shapes import Float64


class PCAWhiten(Whiten):
    """y = L^-1/2 U^T (x - mu): whitened, one principal component per channel (PHI-S, 2.2.2, "PCA-W").

    An error on channel i is sqrt(l_i) times as large in the teacher's space.
    """

    def mixing(self, basis: Float64[Tensor, "dim dim"]) -> None:
        """Q = I."""
