"""Normalisers that mix channels by a full matrix."""

from abc import abstractmethod
from hashlib import blake2b

import torch
from torch import Tensor

from phis_lab.bounds import WholeOrShare
from phis_lab.linalg import Moments
from phis_lab.linalg.cpu import float64_gram, float64_product, precise_linear
from phis_lab.normalizers.normalizer import Normalizer
from phis_lab.normalizers.spread import checked_floor, floored, mean_variance
from phis_lab.shapes import Float, Float64


def spectral_map(
    shift: Float64[Tensor, "dim"],
    gains: Float64[Tensor, "..."],
    basis: Float64[Tensor, "dim dim"],
    mixing: Float64[Tensor, "dim dim"] | None = None,
) -> dict[str, Tensor]:
    """W = Q diag(g) U^T with orthogonal Q and U, the form of every full method, so W^-1 = U diag(1/g) Q^T.

    Args:
        shift: what is subtracted from features first.
        gains: g, one per column of the basis or one for all.
        basis: U, whose columns are the directions that the gains belong to.
        mixing: Q, the rotation after the gains; none if left out. Where it is the basis itself, W is symmetric and
            half of it is computed.
    """
    if mixing is basis:
        weight, inverse_weight = (float64_gram((basis * root).T) for root in (gains.sqrt(), gains.rsqrt()))
    elif mixing is None:
        weight, inverse_weight = (basis * gains).T, basis / gains
    else:
        weight = float64_product(mixing, (basis * gains).T)
        single = gains.numel() == 1
        inverse_weight = weight.T / gains.square() if single else float64_product(basis / gains, mixing.T)
    return {"shift": shift, "weight": weight, "inverse_weight": inverse_weight}


class MatrixNormalizer(Normalizer):
    """y = W (x - shift) with a full W.

    The shift is subtracted before the product, because W would amplify the rounding of x where a mean is
    many times its deviation; what the shift itself loses in float32 is given back by a precomputed bias.
    """

    weight: Tensor
    inverse_weight: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.register_buffer("weight", torch.zeros(dim, dim, dtype=torch.float64))
        self.register_buffer("inverse_weight", torch.zeros(dim, dim, dtype=torch.float64))

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Normalises teacher features."""
        x, (weight, rest, _, shift) = self.prepare(x)
        return self.product(x, weight, rest, shift)

    def inverse(self, y: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Maps predictions of normalised features back to the teacher's own space."""
        y, (_, _, inverse_weight, shift) = self.prepare(y)
        return precise_linear(y, inverse_weight, shift)

    def unscale(self, y: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """The inverse without its shift, in float64."""
        return y @ self.inverse_weight.T

    def affine(self) -> tuple[Float[Tensor, "dim dim"], Float[Tensor, "dim"]]:
        """(W, shift) of y = W (x - shift), in the module's precision."""
        self.require_fitted()
        return self.weight.to(self.dtype), self.shift.to(self.dtype)

    def content(self) -> str | None:
        """Digest of W and the shift; None of a class that computes in a way of its own."""
        own = type(self)
        if own.forward is not MatrixNormalizer.forward or own.cast is not MatrixNormalizer.cast:
            return None
        if self._content is None and self.is_fitted:
            digest = blake2b(f"{self.dtype} {self.products}".encode(), digest_size=16)
            for statistic in (self.weight, self.shift):
                digest.update(statistic.cpu().contiguous().numpy().data)
            self._content = digest.hexdigest()
        return self._content

    def cast(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Both maps at a precision, and W (cast shift - shift), which the cast would lose."""
        lost = self.weight @ (self.shift.to(dtype).double() - self.shift)
        return tuple(term.to(dtype) for term in (self.weight, lost, self.inverse_weight, self.shift))


class Whiten(MatrixNormalizer):
    """y = Q L^-1/2 U^T (x - mu): unit covariance, whichever rotation Q a method chooses (PHI-S, eq. 9-12).

    All choices have the same MSE, the Mahalanobis error / C: faint components weigh as much as strong ones.

    Args:
        dim: channels of the teacher.
        floor: the smallest eigenvalue, relative to the mean eigenvalue; fainter components are whitened less.
    """

    def __init__(self, dim: int, floor: WholeOrShare = 1e-6) -> None:
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
