"""Random directions: the compression that knows nothing about the teacher."""

from typing import ClassVar

import torch
from torch import Tensor

from phis_lab.linalg import Moments, random_rotation
from phis_lab.normalizers.compression import LinearCompression
from phis_lab.normalizers.spread import checked_seed


class RandomProjection(LinearCompression):
    """y = Q_d (x - mu) with d orthonormal rows of a Haar-distributed rotation.

    It keeps the share d / dim of the variance on average over Q, and all cosines to about d ** -0.5 (Johnson and
    Lindenstrauss 1984).

    Args:
        dim: channels of the teacher.
        out_dim: d, the width of the student.
        center: subtract the mean; see `LinearCompression`.
        seed: draws Q; the same seed gives the same Q, and a narrower student the first of its rows.
    """

    needs_covariance: ClassVar[bool] = False

    def __init__(self, dim: int, out_dim: int, center: bool = True, seed: int = 0) -> None:
        super().__init__(dim, out_dim, center)
        self.seed = checked_seed(seed)

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """W = Q_d."""
        mean = moments.mean
        rows = random_rotation(self.dim, self.seed)[: self.out_dim].to(mean.device)
        return {"shift": mean if self.center else torch.zeros_like(mean), "weight": rows}
