"""Losses between a student's prediction and a teacher's features, and how they are balanced."""

from phis_lab.linalg.vmf_sne import TEMPERATURES, vmf_sne
from phis_lab.losses.angle import AngleSummary, angular_dispersion, squared_angle
from phis_lab.losses.balance import AdaLoss, Balancer, TeacherDropping, Uniform
from phis_lab.losses.functional import cosine, dampened_mse, hybrid, mse, smooth_l1, unic
from phis_lab.losses.modules import (
    MSE,
    UNIC,
    Cosine,
    DampenedMSE,
    HybridMSE,
    HybridSmoothL1,
    Loss,
    Proteus,
    SmoothL1,
)
from phis_lab.losses.specmatch import SpecMatch, specmatch
from phis_lab.losses.tintem import TinTeM, flattened_cosine

__all__ = [
    "MSE",
    "TEMPERATURES",
    "UNIC",
    "AdaLoss",
    "AngleSummary",
    "Balancer",
    "Cosine",
    "DampenedMSE",
    "HybridMSE",
    "HybridSmoothL1",
    "Loss",
    "Proteus",
    "SmoothL1",
    "SpecMatch",
    "TeacherDropping",
    "TinTeM",
    "Uniform",
    "angular_dispersion",
    "cosine",
    "dampened_mse",
    "flattened_cosine",
    "hybrid",
    "mse",
    "smooth_l1",
    "specmatch",
    "squared_angle",
    "unic",
    "vmf_sne",
]
