"""Evaluations: functions on tensors, without a trainer, and the options that name their protocols."""

from phis_lab.evals.neighbours.nearest import nearest_neighbours
from phis_lab.evals.probes.dino import DinoProbe, DinoProbeResult, dino_linear_probe
from phis_lab.evals.probes.knn import KNN, knn_predict
from phis_lab.evals.probes.large_set import LargeSetProbe, LargeSetResult, large_set_probe
from phis_lab.evals.probes.linear import LinearProbe, ProbeResult, linear_probe, linear_probe_path
from phis_lab.evals.score import Embeddings, Probe, Score, accuracy_score
from phis_lab.evals.solvers.logistic import LogisticFit, fit_logistic
from phis_lab.evals.solvers.search import TPE, Grid, choose_held_out
from phis_lab.evals.subject import Subject, Task
from phis_lab.metrics.matching import teacher_matching

__all__ = [
    "KNN",
    "TPE",
    "DinoProbe",
    "DinoProbeResult",
    "Embeddings",
    "Grid",
    "LargeSetProbe",
    "LargeSetResult",
    "LinearProbe",
    "LogisticFit",
    "Probe",
    "ProbeResult",
    "Score",
    "Subject",
    "Task",
    "accuracy_score",
    "choose_held_out",
    "dino_linear_probe",
    "fit_logistic",
    "knn_predict",
    "large_set_probe",
    "linear_probe",
    "linear_probe_path",
    "nearest_neighbours",
    "teacher_matching",
]
