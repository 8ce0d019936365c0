"""Whitening that spreads each component evenly over the channels."""

from torch import Tensor

from phis_lab.bounds import WholeOrShare
from phis_lab.linalg import hadamard_rotation, is_hadamard_order
from phis_lab.normalizers.matrix import Whiten
from phis_lab.shapes import Float64


class HadamardWhiten(Whiten):
    """y = H L^-1/2 U^T (x - mu): whitened, with every component spread evenly by a Hadamard matrix ("HCA").

    An error on one channel, whichever it is, is phi times as large in the teacher's space, as with PHI-S
    (PHI-S, eq. 28-32); errors on several channels are not. H has a positive diagonal.

    Raises:
        ValueError: no Hadamard matrix of order dim is known. An equal-diagonal rotation cannot take its
            place, because even errors need entries of one size.
    """

    def __init__(self, dim: int, floor: WholeOrShare = 1e-6) -> None:
        super().__init__(dim, floor)
        if not is_hadamard_order(dim):
            raise ValueError(
                f"HadamardWhiten needs a Hadamard matrix of order {dim}, and none is known here; use ZCAWhiten "
                "or PCAWhiten to whiten, or PhiS, which has an equal-diagonal rotation for such dimensions"
            )

    def mixing(self, basis: Float64[Tensor, "dim dim"]) -> Float64[Tensor, "dim dim"]:
        """Q = H."""
        return hadamard_rotation(self.dim).to(basis.device)
