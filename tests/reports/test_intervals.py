import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from phis_lab.reports import paired_differences


def numbers(**values_of_methods):
    rows = [
        (method, seed, "knn/accuracy", float(value))
        for method, values in values_of_methods.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "metric", "value"])


def test_interval_is_scipys_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5))
    row = paired_differences(numbers(phis=a, identity=b), "identity").iloc[0]
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (row["mean"], row["low"], row["high"], row["seeds"]) == pytest.approx(
        ((a - b).mean(), expected.low, expected.high, 5)
    )


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=6), st.integers(-5, 5))
def test_what_the_seed_does_to_both_methods_cancels(noise, gain):
    seeds = np.array(noise, dtype=float)
    row = paired_differences(numbers(phis=seeds + gain, identity=seeds), "identity").iloc[0]
    assert (row["low"], row["mean"], row["high"]) == (gain, gain, gain)


def test_one_shared_seed_gives_a_difference_and_no_interval():
    row = paired_differences(numbers(phis=[3.0], identity=[1.0, 5.0]), "identity").iloc[0]
    assert (row["mean"], row["seeds"]) == (2.0, 1)
    assert np.isnan([row["low"], row["high"]]).all()


def test_a_diverged_seed_is_not_left_out():
    row = paired_differences(numbers(phis=[1.0, np.nan, 2.0], identity=[1.0, 1.0, 1.0]), "identity").iloc[0]
    assert np.isnan(row["mean"])


def test_an_unknown_baseline_lists_the_methods():
    with pytest.raises(ValueError, match=r"'mse'; there are \['phis', 'identity'\]"):
        paired_differences(numbers(phis=[1.0], identity=[1.0]), "mse")
