import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from phis_lab.reports import paired_differences, paired_effect


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


def test_the_bootstrap_interval_stands_beside_the_t_interval():
    row = paired_differences(numbers(phis=[2.0, 3.0, 7.0], identity=[1.0, 1.0, 1.0]), "identity").iloc[0]
    assert (row["bootstrap_low"], row["bootstrap_high"]) == (1, 6)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=8, unique=True))
def test_effect_size_is_the_paired_t_statistic_without_its_sample_size(values):
    d = np.array(values)
    m = len(d) - 1
    corrected = stats.ttest_1samp(d, 0).statistic / np.sqrt(len(d)) * (1 - 3 / (4 * m - 1))  # Hedges' approximation
    assert paired_effect(d) == pytest.approx(corrected, rel=0.02 if m > 2 else 0.07, abs=1e-9)


def test_effect_size_is_right_on_average_where_cohens_is_too_large():
    samples = np.random.default_rng(0).normal(0.8, 1.0, size=(20_000, 4))
    cohen = (samples.mean(axis=1) / samples.std(axis=1, ddof=1)).mean()
    assert cohen == pytest.approx(0.8 * 1.38, rel=0.03)
    assert np.mean([paired_effect(sample) for sample in samples]) == pytest.approx(0.8, rel=0.03)


@pytest.mark.parametrize("differences", [[1.0], [1.0, 2.0], [1.0, 1.0, 1.0], [1.0, 2.0, np.nan]])
def test_there_is_no_effect_size_without_three_seeds_and_a_spread(differences):
    assert np.isnan(paired_effect(np.array(differences)))
