"""Evaluations: functions on tensors, without a trainer, and the options that name their protocols."""

from phis_lab.evals.knn import knn_predict
from phis_lab.evals.linear_probe import ProbeResult, linear_probe
from phis_lab.evals.matching import teacher_matching
from phis_lab.evals.probes import KNN, Embeddings, LinearProbe, Probe

__all__ = [
    "KNN",
    "Embeddings",
    "LinearProbe",
    "Probe",
    "ProbeResult",
    "knn_predict",
    "linear_probe",
    "teacher_matching",
]
