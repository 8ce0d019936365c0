"""A normaliser of your own: one class, whose `solve` turns a teacher's moments into a map."""

from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.normalizers.elementwise import ElementwiseNormalizer  # or matrix.MatrixNormalizer


class MedianScale(ElementwiseNormalizer):
    """Centred channels under one scale, by which the median channel has variance 1."""

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """The map y = scale (x - shift), each float64 [dim]; its inverse and its folding follow from it."""
        scale = moments.variance.median().rsqrt()
        return {"shift": moments.mean, "scale": scale.expand(self.dim)}
