"""How near the rotation of PHI-S is to a mere reordering of channels."""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from phis_lab.linalg import Moments, random_rotation
from phis_lab.normalizers import PhiS
from phis_lab.normalizers.spread import mean_variance
from phis_lab.shapes import Float64

LARGE = 0.75


class Alignment(NamedTuple):
    """Sizes of the entries of a rotation that the best matching of rows and columns takes (PHI-S, table 9)."""

    mean: float
    lowest: float
    highest: float
    large: int
    """Entries above 0.75."""
    random_mean: float
    """Mean of the entries that the best matching takes of a random rotation of this size."""


def phis_rotation(moments: Moments) -> Float64[Tensor, "dim dim"]:
    """H U^T: the map of PHI-S without its scale."""
    normalizer = PhiS(moments.dim).fit(moments)
    return normalizer.weight * float(mean_variance(moments).sqrt())


def permutation_alignment(rotation: Float64[Tensor, "dim dim"]) -> Alignment:
    """Likeness to a permutation matrix, for which every matched entry has size 1.

    Rows and columns are matched so that the sum of the absolute entries is the largest (Hungarian matching). A
    permutation would only reorder the channels; a mean as small as a random rotation's says that all are mixed.
    """
    matched = _matched(rotation)
    chance = float(_matched(random_rotation(len(rotation), seed=0)).mean())
    large = int((matched > LARGE).sum())
    return Alignment(float(matched.mean()), float(matched.min()), float(matched.max()), large, chance)


def _matched(rotation: Float64[Tensor, "dim dim"]) -> Float64[Tensor, "dim"]:
    sizes = rotation.abs().cpu()
    rows, columns = linear_sum_assignment(sizes.numpy(), maximize=True)
    return sizes[torch.from_numpy(rows), torch.from_numpy(columns)]
