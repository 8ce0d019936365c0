"""Maps of a teacher's features into the student's narrower space, where the student itself is matched."""

import torch
from torch import Tensor

from phis_lab.normalizers.feature_map import FeatureMap
from phis_lab.shapes import Float


class Compression(FeatureMap):
    """A map from the teacher's channels to the student's width, for students without a head.

    It is no bijection: the student is matched in its own space, so nothing maps its tokens back to the teacher's, and
    there is nothing to fold. One map serves a teacher's summary and patches, which must be of one width.

    Args:
        dim: channels of the teacher.
        out_dim: width of the student.

    Raises:
        ValueError: the student is wider than the teacher.
    """

    summary_map = "same"

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__(dim, out_dim)
        if not 1 <= out_dim <= dim:
            raise ValueError(
                f"{type(self).__name__} compresses: out_dim, the width of the student, must lie between 1 and the "
                f"teacher's {dim} channels, got {out_dim}; choose a wider teacher or a narrower student"
            )

    def extra_repr(self) -> str:
        """Shows both sizes in `print`."""
        return f"dim={self.dim}, out_dim={self.out_dim}"


class LinearCompression(Compression):
    """y = W (x - shift) with orthonormal rows W, solved from the teacher's moments.

    Args:
        dim: channels of the teacher.
        out_dim: width of the student.
        center: subtract the mean of the spatial features. False keeps the origin: angles between features are then
            seen from where TinTeM sees them.
    """

    weight: Tensor

    def __init__(self, dim: int, out_dim: int, center: bool = True) -> None:
        super().__init__(dim, out_dim)
        self.center = center
        self.register_buffer("weight", torch.zeros(out_dim, dim, dtype=torch.float64))

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows out_dim"]:
        """Compresses teacher features, with the precautions of `MatrixNormalizer`."""
        x, (weight, rest, shift) = self.prepare(x)
        return self.product(x, weight, rest, shift)

    def cast(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """W, W (cast shift - shift) and the shift at a precision."""
        lost = self.weight @ (self.shift.to(dtype).double() - self.shift)
        return tuple(term.to(dtype) for term in (self.weight, lost, self.shift))
