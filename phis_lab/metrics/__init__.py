"""Metrics: pure functions and the torchmetrics modules around them."""

import phis_lab._torchvision  # noqa: F401
from phis_lab.metrics.matching import TeacherMatching, matching_moments, matching_values

__all__ = ["TeacherMatching", "matching_moments", "matching_values"]
