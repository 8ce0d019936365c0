"""Strategies: how many processes train together, and how they agree."""

import phis_lab._torchvision  # noqa: F401  before lightning
from phis_lab.strategies.options import DataParallel, Single
from phis_lab.strategies.per_arm_ddp import PerArmDDP

__all__ = ["DataParallel", "PerArmDDP", "Single"]
