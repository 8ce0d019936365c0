"""Normalisers that treat each channel by itself; none of their work needs a dim x dim matrix."""

from typing import ClassVar

import torch
from torch import Tensor

from phis_lab.normalizers.normalizer import Normalizer
from phis_lab.shapes import Float


class ElementwiseNormalizer(Normalizer):
    """y = scale (x - shift) per channel, computed as one multiply-add; `solve` gives shift and scale."""

    needs_covariance: ClassVar[bool] = False

    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.register_buffer("scale", torch.zeros(dim, dtype=torch.float64))

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Normalises teacher features."""
        cast, (scale, offset, _, _) = self.prepare(x)
        return _multiply_add(offset, cast, scale, in_place=cast is not x)

    def inverse(self, y: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Maps predictions of normalised features back to the teacher's own space."""
        cast, (_, _, inverse_scale, shift) = self.prepare(y)
        return _multiply_add(shift, cast, inverse_scale, in_place=cast is not y)

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


def _multiply_add(offset: Tensor, x: Tensor, scale: Tensor, in_place: bool) -> Tensor:
    """Gives x * scale + offset in one pass, over a copy of the input if there is one already."""
    return torch.addcmul(offset, x, scale, out=x if in_place and not x.requires_grad else None)
