"""Metrics: pure functions, and the streams that the engine keeps of them."""

import phis_lab._torchvision  # noqa: F401
from phis_lab.metrics.cka import CrossMoments, linear_cka
from phis_lab.metrics.effective_rank import effective_rank, rank_of
from phis_lab.metrics.error_spectrum import ErrorSpectrum, error_spectrum, spectrum_along
from phis_lab.metrics.matching import TeacherMatching, matching_moments, matching_values
from phis_lab.metrics.preservation import cosine_preservation, orthogonality

__all__ = [
    "CrossMoments",
    "ErrorSpectrum",
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
