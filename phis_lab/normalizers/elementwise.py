"""Normalisers that treat each channel by itself; none of their work needs a dim x dim matrix."""

import torch
from torch import Tensor

from phis_lab.normalizers.base import Normalizer
from phis_lab.shapes import Float


class ElementwiseNormalizer(Normalizer):
    """y = scale (x - shift) per channel, computed as one multiply-add; `solve` gives shift and scale."""

    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.register_buffer("scale", torch.zeros(dim, dtype=torch.float64))

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Normalises teacher features."""
        x, (scale, offset, _, _) = self.prepare(x)
        return torch.addcmul(offset, x, scale)

    def inverse(self, y: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Maps predictions of normalised features back to the teacher's own space."""
        y, (_, _, inverse_scale, shift) = self.prepare(y)
        return torch.addcmul(shift, y, inverse_scale)

    def unscale(self, y: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """The inverse without its shift, in float64."""
        return y / self.scale

    def affine(self) -> tuple[Float[Tensor, "dim dim"], Float[Tensor, "dim"]]:
        """(W, shift) of y = W (x - shift), in the module's precision; W is diagonal."""
        self.require_fitted()
        return self.scale.diag().to(self.dtype), self.shift.to(self.dtype)

    def cast(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Scale, offset and their inverses at a precision."""
        terms = (self.scale, -self.scale * self.shift, 1 / self.scale, self.shift)
        return tuple(term.to(dtype) for term in terms)
