"""The teacher's features as they are."""

import torch
from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.normalizers.elementwise import ElementwiseNormalizer
from phis_lab.shapes import Float


class Identity(ElementwiseNormalizer):
    """y = x: the baseline, in which teachers weigh by their raw variance (PHI-S, table 1, "MSE")."""

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """Nothing is taken from the moments."""
        return {"shift": torch.zeros_like(moments.mean), "scale": torch.ones_like(moments.mean)}

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Gives the features themselves, in the precision that all methods have."""
        return self.prepare(x)[0]

    def inverse(self, y: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Gives the predictions themselves, in the precision that all methods have."""
        return self.prepare(y)[0]
