import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from phis_lab.reports.downstream import correlations, downstream_figure, fidelity_and_downstream, rank_correlation
from phis_lab.reports.style import looks
from phis_lab.reports.tables import Column

KNN = Column("knn/accuracy", "%", True)


def numbers(runs):
    names = ("a/spatial/fidelity", "b/spatial/fidelity", "knn/accuracy")
    rows = [
        (method, seed, name, value) for method, seed, *values in runs for name, value in zip(names, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "metric", "value"])


def points(runs):
    return fidelity_and_downstream(numbers(runs), ["a/spatial/fidelity", "b/spatial/fidelity"], [KNN])


def test_fidelity_is_the_geometric_mean_over_teachers():
    (row,) = points([("phis", 0, 2.0, 8.0, 60.0)]).to_dict("records")
    assert (row["method"], row["seed"], row["metric"], row["value"]) == ("phis", 0, "knn/accuracy", 60.0)
    assert row["fidelity"] == pytest.approx(4)


def test_a_run_that_diverged_or_lacks_a_teacher_is_left_out():
    runs = [("phis", 0, 2.0, 8.0, 60.0), ("phis", 1, math.nan, 8.0, 60.0), ("zca", 0, 2.0, 8.0, math.inf)]
    partly = numbers(runs).iloc[:-1]
    found = fidelity_and_downstream(partly, ["a/spatial/fidelity", "b/spatial/fidelity"], [KNN])
    assert found[["method", "seed"]].to_numpy().tolist() == [["phis", 0]]
    assert points([]).empty


def test_the_correlation_is_spearmans_over_runs_and_over_methods():
    rng = np.random.default_rng(0)
    runs = [
        (m, s, 1 + i + rng.random(), 1 + i, 50 - i + 2 * rng.random()) for i, m in enumerate("abcd") for s in range(3)
    ]
    found = points(runs)
    over_runs, over_methods = correlations(found, "knn/accuracy")
    assert over_runs == pytest.approx(stats.spearmanr(found["fidelity"], found["value"]).statistic)
    assert over_methods == pytest.approx(-1)


def test_two_points_and_ties_have_no_correlation():
    assert math.isnan(rank_correlation(points([("a", 0, 1.0, 1.0, 50.0), ("b", 0, 2.0, 2.0, 60.0)])))
    assert math.isnan(rank_correlation(points([(m, 0, 1.0 + i, 1.0, 50.0) for i, m in enumerate("abc")])))


def test_the_figure_draws_every_run_once():
    found = points([(m, s, 1.0 + i, 2.0, 50.0 + i + s) for i, m in enumerate("ab") for s in (0, 1)])
    figure = downstream_figure(found, [KNN], looks(["a", "b"]))
    (axes,) = figure.axes
    dots = {line.get_gid() for line in axes.get_lines()} - {None}
    assert dots == {"run0", "run1", "run2", "run3"}
    assert axes.get_title(loc="left").endswith("rho +0.71 (–)")
