"""Losses between a student's prediction and a teacher's features, and how they are balanced."""

from phis_lab.losses.angle import AngleSummary, angular_dispersion, squared_angle
from phis_lab.losses.balance import AdaLoss, Balancer, Uniform
from phis_lab.losses.functional import cosine, dampened_mse, hybrid, mse, smooth_l1
from phis_lab.losses.modules import MSE, Cosine, DampenedMSE, HybridMSE, HybridSmoothL1, Loss, SmoothL1
from phis_lab.losses.specmatch import SpecMatch, specmatch

__all__ = [
    "MSE",
    "AdaLoss",
    "AngleSummary",
    "Balancer",
    "Cosine",
    "DampenedMSE",
    "HybridMSE",
    "HybridSmoothL1",
    "Loss",
    "SmoothL1",
    "SpecMatch",
    "Uniform",
    "angular_dispersion",
    "cosine",
    "dampened_mse",
    "hybrid",
    "mse",
    "smooth_l1",
    "specmatch",
    "squared_angle",
]
