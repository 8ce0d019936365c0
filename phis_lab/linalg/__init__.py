"""Linear algebra under the normalisers; torch is its only requirement."""

from phis_lab.linalg.cpu import precise_linear
from phis_lab.linalg.hadamard import hadamard_matrix, is_hadamard_order
from phis_lab.linalg.histograms import Histograms
from phis_lab.linalg.moments import Moments
from phis_lab.linalg.rotations import equal_diagonal_rotation, hadamard_rotation, random_rotation
from phis_lab.linalg.split import split_linear
from phis_lab.linalg.sums import channel_moments, merge_moments

__all__ = [
    "Histograms",
    "Moments",
    "channel_moments",
    "equal_diagonal_rotation",
    "hadamard_matrix",
    "hadamard_rotation",
    "is_hadamard_order",
    "merge_moments",
    "precise_linear",
    "random_rotation",
    "split_linear",
]
