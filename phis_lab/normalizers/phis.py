"""PHI-S: PCA-Hadamard isotropic standardisation."""

from typing import Literal

from torch import Tensor

from phis_lab.linalg import Moments, equal_diagonal_rotation, hadamard_rotation, is_hadamard_order
from phis_lab.normalizers.matrix import MatrixNormalizer, spectral_map
from phis_lab.normalizers.spread import mean_variance


class PhiS(MatrixNormalizer):
    """PCA-Hadamard isotropic standardisation: every channel gets variance 1 under a single scale.

    y = a H U^T (x - mu), with covariance U diag(l) U^T, H an orthonormal Hadamard matrix and
    a = mean(l) ** -0.5 (PHI-S, eq. 22-25). Being a scaled rotation it has condition number 1: an error of the
    student keeps its relative size and direction-independence in the teacher's space, which whitening does
    not give. It needs no floor: rank 1 is enough.

    Signs follow the caption of figure 4: the rows of H, and the eigenvectors, are negated where their
    diagonal entry is negative, so the same moments always give the same map.

    Args:
        dim: channels of the teacher. Where no Hadamard matrix of this order is known, an equal-diagonal
            rotation takes its place; `rotation` says which one is used.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[9.0, 0.0], [-9.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> phis = PhiS(2).fit(Moments(2).update(rows))
        >>> phis(rows).var(dim=0).round(decimals=4).tolist()
        [1.0, 1.0]
    """

    rotation: Literal["hadamard", "equal_diagonal"]

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.rotation = "hadamard" if is_hadamard_order(dim) else "equal_diagonal"

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """W = a H U^T."""
        eigenvalues, basis = moments.eigh()
        hadamard = self.rotation == "hadamard"
        mixing = hadamard_rotation(self.dim) if hadamard else equal_diagonal_rotation(eigenvalues)
        gain = mean_variance(moments).rsqrt()
        return spectral_map(moments.mean, gain, basis, mixing.to(basis.device))
