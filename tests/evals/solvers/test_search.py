"""Searches for hyperparameters, whoever judges them."""

from collections.abc import Sequence

import pytest
import torch

from phis_lab.evals.solvers.search import RANDOM_TRIALS, TPE, Grid, Values, choose_held_out, hold_out_of_classes


def test_a_grid_is_judged_at_once_and_of_equals_the_smallest_is_chosen() -> None:
    asked: list[list[float]] = []

    def judge(tried: Sequence[Values]) -> list[float]:
        asked.append([values["c"] for values in tried])
        return [0.5 if values["c"] > 1 else 0.1 for values in tried]

    chosen = Grid("c", [100.0, 10.0, 1.0])(judge)
    assert asked == [[100.0, 10.0, 1.0]]
    assert (chosen.values, chosen.score) == ({"c": 10.0}, 0.5)
    assert chosen.tried == [({"c": 100.0}, 0.5), ({"c": 10.0}, 0.5), ({"c": 1.0}, 0.1)]


@pytest.mark.parametrize("trials", [4, RANDOM_TRIALS + 3])
def test_tpe_asks_for_its_random_trials_together_and_then_one_by_one(trials: int) -> None:
    sizes: list[int] = []

    def judge(tried: Sequence[Values]) -> list[float]:
        sizes.append(len(tried))
        return [-abs(values["rate"] - 1) for values in tried]

    search = TPE({"rate": (0.1, 10.0), "decay": (1e-6, 1e-2)}, trials, seed=3)
    chosen = search(judge)
    assert sizes == [min(trials, RANDOM_TRIALS), *[1] * max(0, trials - RANDOM_TRIALS)]
    assert chosen.score == max(score for _, score in chosen.tried)
    assert all(0.1 <= values["rate"] <= 10 and 1e-6 <= values["decay"] <= 1e-2 for values, _ in chosen.tried)
    assert search(judge) == chosen


def test_what_is_chosen_is_judged_on_a_fifth_of_every_class_that_nothing_is_fitted_on() -> None:
    x, y = torch.arange(20.0)[:, None], torch.arange(20) % 2
    kept, held = hold_out_of_classes(y, seed=4)

    def accuracies(*parts: object) -> list[float]:
        *data, tried = parts
        for given, expected in zip(data, (x[kept], y[kept], x[held], y[held]), strict=True):
            assert torch.equal(given, expected)
        return [values["c"] for values in tried]

    assert choose_held_out(x, y, accuracies, Grid("c", [0.2, 0.7]), seed=4).values == {"c": 0.7}
