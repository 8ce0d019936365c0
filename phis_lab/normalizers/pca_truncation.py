"""The first principal components: what a linear compression can keep of the variance at most."""

import torch
from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.linalg.cpu import symmetric_eigh
from phis_lab.linalg.rotations import positive_diagonal
from phis_lab.normalizers.compression import LinearCompression
from phis_lab.shapes import Float64


class PCATruncation(LinearCompression):
    """y = U_d^T (x - mu) with the d first principal components: no other d directions keep as much variance.

    Without centring they are the first eigenvectors of E[x x^T]: no other d directions keep as much of the squared
    lengths, and of scalar products in the mean square.

    It is also every orthogonal Procrustes solution towards its own frame, whitened or not: the polar factor of
    L_d^a U_d^T is U_d^T for every exponent a. Other targets, such as the student's tokens, are unknown when it is
    fitted, so there is no separate method of that name.

    Args:
        dim: channels of the teacher.
        out_dim: d, the width of the student.
        center: subtract the mean; see `LinearCompression`.
    """

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """W = U_d^T, with the signs that make its diagonal positive."""
        if self.center:
            return {"shift": moments.mean, "weight": moments.eigh()[1].T[: self.out_dim]}
        return {"shift": torch.zeros_like(moments.mean), "weight": _of_second_moments(moments)[: self.out_dim]}


def _of_second_moments(moments: Moments) -> Float64[Tensor, "dim dim"]:
    """Eigenvectors of E[x x^T] as rows, by descending eigenvalue."""
    share = 1 - 1 / moments.count
    _, vectors = symmetric_eigh(share * moments.covariance + torch.outer(moments.mean, moments.mean))
    return positive_diagonal(vectors.flip(1).T).to(moments.mean.device)
