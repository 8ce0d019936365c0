"""Evaluations: functions on tensors, without a trainer, and the options that name their protocols."""

from phis_lab.evals.dino_probe import DinoProbeResult, dino_linear_probe
from phis_lab.evals.floors import Score
from phis_lab.evals.knn import knn_predict
from phis_lab.evals.large_set_probe import LargeSetResult, large_set_probe
from phis_lab.evals.linear_probe import ProbeResult, linear_probe, linear_probe_path
from phis_lab.evals.logistic import LogisticFit, fit_logistic
from phis_lab.evals.matching import teacher_matching
from phis_lab.evals.nearest import nearest_neighbours
from phis_lab.evals.probes import KNN, DinoProbe, Embeddings, LargeSetProbe, LinearProbe, Probe
from phis_lab.evals.subject import Subject, Task

__all__ = [
    "KNN",
    "DinoProbe",
    "DinoProbeResult",
    "Embeddings",
    "LargeSetProbe",
    "LargeSetResult",
    "LinearProbe",
    "LogisticFit",
    "Probe",
    "ProbeResult",
    "Score",
    "Subject",
    "Task",
    "dino_linear_probe",
    "fit_logistic",
    "knn_predict",
    "large_set_probe",
    "linear_probe",
    "linear_probe_path",
    "nearest_neighbours",
    "teacher_matching",
]
