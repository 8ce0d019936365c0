"""Metrics: pure functions and the torchmetrics modules around them."""

import phis_lab._torchvision  # noqa: F401
from phis_lab.metrics.cka import LinearCKA, linear_cka
from phis_lab.metrics.cross_moments import CrossMoments
from phis_lab.metrics.effective_rank import EffectiveRank, effective_rank, rank_of
from phis_lab.metrics.error_spectrum import ErrorSpectrum, PrincipalComponentError, error_spectrum, spectrum_along
from phis_lab.metrics.matching import TeacherMatching, matching_moments, matching_values
from phis_lab.metrics.preservation import cosine_preservation, orthogonality

__all__ = [
    "CrossMoments",
    "EffectiveRank",
    "ErrorSpectrum",
    "LinearCKA",
    "PrincipalComponentError",
    "TeacherMatching",
    "cosine_preservation",
    "effective_rank",
    "error_spectrum",
    "linear_cka",
    "matching_moments",
    "matching_values",
    "orthogonality",
    "rank_of",
    "spectrum_along",
]
