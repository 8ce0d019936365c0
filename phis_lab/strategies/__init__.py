"""Strategies: how many processes train together, and how they agree."""

import phis_lab._torchvision  # noqa: F401  before lightning
from phis_lab.strategies.data_parallel import DataParallel, PerArmDDP, Single
from phis_lab.strategies.fully_sharded import FullyShardedData
from phis_lab.strategies.teacher_partition import TeacherPartition

__all__ = ["DataParallel", "FullyShardedData", "PerArmDDP", "Single", "TeacherPartition"]
