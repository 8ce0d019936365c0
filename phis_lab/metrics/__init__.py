"""Metrics: pure functions and the torchmetrics modules around them."""

import phis_lab._torchvision  # noqa: F401
from phis_lab.metrics.cka import LinearCKA, linear_cka
from phis_lab.metrics.effective_rank import EffectiveRank, effective_rank
from phis_lab.metrics.error_spectrum import ErrorSpectrum, PrincipalComponentError, error_spectrum
from phis_lab.metrics.matching import TeacherMatching, matching_moments, matching_values

__all__ = [
    "EffectiveRank",
    "ErrorSpectrum",
    "LinearCKA",
    "PrincipalComponentError",
    "TeacherMatching",
    "effective_rank",
    "error_spectrum",
    "linear_cka",
    "matching_moments",
    "matching_values",
]
