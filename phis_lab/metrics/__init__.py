"""Metrics: pure functions and the torchmetrics modules around them."""

import phis_lab._torchvision  # noqa: F401
from phis_lab.metrics.matching import TeacherMatching, matching_moments, matching_values
from phis_lab.metrics.moments import channel_moments, merge_moments

__all__ = ["TeacherMatching", "channel_moments", "matching_moments", "matching_values", "merge_moments"]
