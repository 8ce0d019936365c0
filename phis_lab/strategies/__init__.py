"""Strategies: how many processes train together, and how they agree."""

import phis_lab._torchvision  # noqa: F401  before lightning
from phis_lab.strategies.data_parallel import DataParallel, PerArmDDP, Single

__all__ = ["DataParallel", "PerArmDDP", "Single"]
