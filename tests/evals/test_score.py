"""Scores: numbers that know what they mean."""

import math
import pickle
from copy import deepcopy

import pytest

from phis_lab.evals.score import FRACTION, Score, mean_score, with_headlines


def facts(score: Score) -> tuple[object, ...]:
    return float(score), score.floor, score.unit, score.higher_is_better, score.detail


def test_a_score_is_a_number_and_arithmetic_gives_plain_ones() -> None:
    score = Score(0.25, 0.1, "nats", higher_is_better=False, detail=True)
    assert score == 0.25
    assert type(score + 0) is type(1 - score) is type(sum([score])) is type(float(score)) is float
    assert facts(Score(0.25)) == (0.25, None, FRACTION, True, False)
    assert math.isnan(Score(math.nan))


def test_another_value_of_the_same_meaning_differs_by_its_value_alone() -> None:
    score = Score(0.25, 0.1, "nats", higher_is_better=False, detail=True)
    assert facts(score.like(0.5)) == (0.5, *facts(score)[1:])
    assert facts(Score(0.25, 0.1).as_detail()) == (0.25, 0.1, FRACTION, True, True)


@pytest.mark.parametrize("copied", [deepcopy, lambda score: pickle.loads(pickle.dumps(score))])
def test_a_copy_knows_what_its_original_knows(copied) -> None:
    score = Score(0.25, 0.1, "nats", higher_is_better=None, detail=True)
    assert facts(copied(score)) == facts(score)


def test_a_mean_keeps_the_meaning() -> None:
    scores = [Score(value, 0.2, "nats", higher_is_better=False, detail=True) for value in (1.0, 2.0)]
    assert facts(mean_score(scores)) == (1.5, 0.2, "nats", False, True)


def test_what_is_not_a_headline_is_a_detail_in_the_same_order() -> None:
    marked = with_headlines({"b": Score(0.5, 0.1), "a": Score(0.25)}, {"a", "absent"})
    assert [(name, score.detail, score.floor) for name, score in marked.items()] == [
        ("b", True, 0.1),
        ("a", False, None),
    ]
