"""Floors against students that are blind, and against scikit-learn's dummy."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drawn_subjects import drawn_subject
from hypothesis import given
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from small_arms import make_arm, make_job, patch_pool
from torch import Tensor

from phis_lab.data.masks import IGNORED
from phis_lab.engine.arm_record import measured
from phis_lab.engine.evaluation import Scores
from phis_lab.engine.run import Run
from phis_lab.evals import KNN, DinoProbe, Embeddings, LinearProbe, Probe
from phis_lab.evals.score import Score, constant_answer, mean_score
from phis_lab.evals.subject import Subject
from phis_lab.evals.tasks import robustness
from phis_lab.evals.tasks.detectors import NearestNeighbour
from phis_lab.evals.tasks.ood import OutOfDistribution
from phis_lab.evals.tasks.pruning import Pruning
from phis_lab.evals.tasks.robustness import Robustness
from phis_lab.evals.tasks.segmentation import constant_segmentation, make_head, score_segmentation
from phis_lab.evals.tasks.truncation import Truncation
from phis_lab.features import Features

LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2])


def blind() -> Subject:
    """A student that sees nothing of an image, beside teachers that do."""

    def tokens(images: Tensor) -> Features:
        return Features(torch.ones(len(images), 4), torch.ones(len(images), 2, 2, 4))

    return replace(drawn_subject(), tokens=tokens)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_the_floor_of_an_accuracy_is_scikit_learns_most_frequent_answer(labels: list[int]) -> None:
    dummy = DummyClassifier(strategy="most_frequent").fit([[0]] * len(labels), labels)
    assert constant_answer(torch.tensor(labels)) == pytest.approx(dummy.score([[0]] * len(labels), labels))


@pytest.mark.parametrize("probe", [KNN(k=3), LinearProbe(), DinoProbe(rates=[0.1], epochs=1)])
def test_a_blind_student_scores_the_floor_of_a_probe(probe: Probe) -> None:
    same = Embeddings(torch.ones(len(LABELS), 2), LABELS)
    (score,) = probe(same, same).values()
    assert isinstance(score, Score)
    assert score == score.floor == pytest.approx(4 / 9)


@pytest.mark.parametrize("seed", range(3))
def test_the_floor_of_a_segmentation_is_background_alone(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (5, 8, 8), generator=generator)  # class 4 never occurs
    labels[torch.rand(labels.shape, generator=generator) < 0.5] = 2
    labels[:, 0] = IGNORED
    head = make_head(3, 5, seed).eval()
    with torch.no_grad():
        head.linear.bias.copy_(torch.tensor([0.0, 0, 1e6, 0, 0]))
    expected = score_segmentation(head, [(torch.rand(5, 2, 2, 3), labels)], torch.device("cpu"))
    floors = constant_segmentation(labels[labels != IGNORED].bincount(minlength=5))
    assert floors == pytest.approx(expected, abs=1e-6)


def test_a_blind_student_is_no_better_than_the_floors_of_detection() -> None:
    found = OutOfDistribution({"nearest": NearestNeighbour()}, None, 2, 3, 60, 36)(blind())
    scores = {name: Score.of(value) for name, value in found.items()}
    assert scores["near/nearest/auroc"] == scores["near/nearest/auroc"].floor == 0.5
    assert scores["near/nearest/fpr95"] >= scores["near/nearest/fpr95"].floor == 0.95


def test_a_blind_student_has_the_corruption_error_of_a_constant_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "corrupt", lambda images, *_: 1 - images)
    monkeypatch.setattr(robustness, "check_corruptions_installed", lambda: None)
    found = Robustness(["fog", "snow"], [1], k=3, train_images=60, test_images=24)(blind())
    for name in ("clean/knn_accuracy", "corrupted/knn_accuracy", "corrupted/linear_accuracy"):
        assert found[name] == Score.of(found[name]).floor == pytest.approx(1 / 6)
    mce = Score.of(found["knn_mce"])
    assert mce == mce.floor
    assert mce.unit == "fraction of error with pixels"
    assert found["corrupted/knn_agreement"].floor is None


@pytest.mark.parametrize("task", [Truncation([2], train_images=36, test_images=24), Pruning([0.0], "summary", 36, 24)])
def test_analyses_have_floors(task: Pruning | Truncation) -> None:
    (score,) = task(replace(drawn_subject(), backbone=torch.nn.Linear(2, 2))).values()
    assert Score.of(score).floor == pytest.approx(1 / 6)


def test_the_mean_of_scores_has_the_mean_floor_where_all_are_known() -> None:
    mean = mean_score([Score(0.8, 0.1), Score(0.6, 0.5)])
    assert (mean, mean.floor) == (pytest.approx(0.7), pytest.approx(0.3))
    assert mean_score([Score(0.8, 0.1), Score(0.6)]).floor is None


def test_the_record_keeps_floors_and_units_and_the_history_plain_numbers() -> None:
    mce = Score(1.5, 1.9, "fraction of errors")
    probes = {"knn/accuracy": Score(0.6, 0.1), "r/knn_mce": mce, "own/number": Score.of(0.3)}
    scores = Scores(probes, {}, {"effective_rank/summary": Score(9.0, unit="rank", higher_is_better=None)})
    found = measured(scores)
    assert {name: (metric.value, metric.unit, metric.floor) for name, metric in found.items()} == {
        "knn/accuracy": (0.6, "fraction", 0.1),
        "r/knn_mce": (1.5, "fraction of errors", 1.9),
        "own/number": (0.3, "fraction", None),
        "effective_rank/summary": (9.0, "rank", None),
    }
    run = Run("one", "phis", make_job(Path("unused")), make_arm(patch_pool()))
    run.scored(3, scores, final=True)
    assert run.scores is scores
    assert {type(value) for value in run.history[0]["metrics"].values()} == {float}
