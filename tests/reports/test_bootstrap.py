from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from phis_lab.reports import average_ranks
from phis_lab.reports.intervals import bootstrap_interval, bootstrap_ranks, resamples
from phis_lab.reports.ranks import Cube

CATEGORIES = {"teachers": [["a", "b"]], "knn": ["knn"]}


def cube(values):
    return Cube(values, list(range(len(values))), [f"m{i}" for i in range(values.shape[1])], ["a", "b", "knn"])


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_seeds_are_drawn_in_every_way_once(count):
    assert sorted(map(tuple, resamples(count))) == sorted(product(range(count), repeat=count))


def test_many_seeds_are_drawn_at_random_and_always_alike():
    drawn = resamples(8)
    assert drawn.shape == (9_999, 8)
    assert np.bincount(drawn.ravel()) / drawn.size == pytest.approx(1 / 8, abs=0.005)


def test_interval_is_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).exponential(size=12)
    method = {"method": "percentile", "n_resamples": 50_000, "rng": np.random.default_rng(2)}
    expected = stats.bootstrap((values,), np.mean, **method).confidence_interval
    assert bootstrap_interval(values) == pytest.approx((expected.low, expected.high), abs=0.02)


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3))
def test_of_three_seeds_the_interval_is_the_range(values):
    assert bootstrap_interval(np.array(values)) == pytest.approx((min(values), max(values)))


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan], [1.0, np.inf]])
def test_there_is_no_interval_without_two_finite_values(values):
    assert np.isnan(bootstrap_interval(np.array(values))).all()


def test_ranks_are_those_of_every_draw_ranked_one_by_one():
    made = cube(np.random.default_rng(3).normal(size=(3, 4, 3)))
    averages = []
    for draw in product(range(3), repeat=3):
        table = pd.DataFrame(made.values[list(draw)].mean(axis=0), made.methods, made.metrics)
        averages.append(average_ranks(table, CATEGORIES, lower_is_better=["b"])["Avg"])
    draws = pd.DataFrame(averages)
    found = bootstrap_ranks(made, CATEGORIES, lower_is_better=["b"])
    wins = draws.eq(draws.min(axis=1), axis=0)
    assert found["best"].tolist() == pytest.approx(wins.div(wins.sum(axis=1), axis=0).mean().tolist())
    assert found["low"].tolist() == pytest.approx(draws.min().tolist())
    assert found["high"].tolist() == pytest.approx(draws.max().tolist())


def test_a_method_that_wins_with_every_seed_is_first_in_every_draw():
    values = np.random.default_rng(4).uniform(size=(4, 3, 3))
    values[:, 1] += 1
    found = bootstrap_ranks(cube(values), CATEGORIES)
    assert found.loc["m1"].tolist() == [1, 1, 1, 1]
    assert found["best"].sum() == pytest.approx(1)


def numbers(rows):
    return pd.DataFrame(rows, columns=["method", "seed", "metric", "value"])


def test_a_cube_holds_what_methods_share_and_keeps_what_diverged():
    full = [(m, s, k, 10.0 * s + i) for m in "xy" for s in (2, 0, 1) for i, k in enumerate(["knn", "mse"])]
    partly = [("x", 0, "ood", 1.0), ("x", 1, "ood", 1.0), ("x", 7, "knn", 1.0), ("once", 0, "knn", 1.0)]
    table = numbers([*full, *partly])
    table.loc[(table["method"] == "y") & (table["seed"] == 1) & (table["metric"] == "mse"), "value"] = np.nan
    made = Cube.of(table)
    assert (made.seeds, made.methods, made.metrics) == ([0, 1, 2], ["x", "y"], ["knn", "mse"])
    np.testing.assert_array_equal(made.values[:, 0], [[0, 1], [10, 11], [20, 21]])
    np.testing.assert_array_equal(made.values[:, 1], [[0, 1], [10, np.nan], [20, 21]])


def test_a_cube_of_single_seeds_is_empty():
    assert Cube.of(numbers([("x", 0, "knn", 1.0), ("y", 0, "knn", 1.0)])).values.shape == (0, 0, 0)
