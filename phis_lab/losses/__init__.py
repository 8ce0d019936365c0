"""Losses between a student's prediction and a teacher's features, and how they are balanced."""

from phis_lab.losses.balance import AdaLoss, Balancer, Uniform
from phis_lab.losses.functional import cosine, hybrid, mse, smooth_l1
from phis_lab.losses.modules import MSE, Cosine, HybridMSE, HybridSmoothL1, Loss, SmoothL1

__all__ = [
    "MSE",
    "AdaLoss",
    "Balancer",
    "Cosine",
    "HybridMSE",
    "HybridSmoothL1",
    "Loss",
    "SmoothL1",
    "Uniform",
    "cosine",
    "hybrid",
    "mse",
    "smooth_l1",
]
