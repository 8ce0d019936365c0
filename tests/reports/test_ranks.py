import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from phis_lab.reports import average_ranks, default_categories


def test_ties_take_the_lowest_rank_or_their_mean():
    tied = pd.DataFrame({"m": [2.0, 2.0, 1.0]}, index=["a", "b", "c"])
    assert list(average_ranks(tied, {"all": ["m"]})["Avg"]) == [1, 1, 3]
    assert list(average_ranks(tied, {"all": ["m"]}, ties="average")["Avg"]) == [1.5, 1.5, 3]


def test_a_diverged_method_ranks_last_in_both_directions():
    diverged = pd.DataFrame({"up": [float("nan"), 1.0], "down": [float("nan"), 1.0]}, index=["a", "b"])
    ranks = average_ranks(diverged, {"all": ["up", "down"]}, lower_is_better=["down"])
    assert list(ranks["Avg"]) == [2, 1]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8, unique=True), st.randoms())
def test_ranks_do_not_depend_on_the_order_of_methods_or_on_a_growing_map(values, random):
    scores = pd.DataFrame({"m": values}, index=[f"method{i}" for i in range(len(values))])
    ranks = average_ranks(scores, {"all": ["m"]})
    order = random.sample(list(scores.index), len(scores))
    assert_frame_equal(average_ranks(scores.loc[order], {"all": ["m"]}).loc[scores.index], ranks)
    assert_frame_equal(average_ranks(scores.rank(), {"all": ["m"]}), ranks)
    assert_frame_equal(average_ranks(-scores, {"all": ["m"]}, lower_is_better=["m"]), ranks)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8, unique=True))
def test_without_ties_the_ranks_are_one_to_n(values):
    scores = pd.DataFrame({"m": values})
    assert sorted(average_ranks(scores, {"all": ["m"]})["Avg"]) == list(range(1, len(values) + 1))


@pytest.mark.parametrize(
    ("categories", "lower", "message"),
    [
        ({"Cls": ["knn", "prob"]}, [], r"no such metrics: \['prob'\]"),
        ({"Cls": [["knn", "prob"]]}, [], r"no such metrics: \['prob'\]"),
        ({"Cls": ["knn"]}, ["mse"], r"no such metrics: \['mse'\]"),
        ({"Cls": []}, [], "empty"),
        ({}, [], "empty"),
    ],
)
def test_wrong_categories_are_refused(categories, lower, message):
    with pytest.raises(ValueError, match=message):
        average_ranks(pd.DataFrame({"knn": [1.0, 2.0]}), categories, lower_is_better=lower)


def test_default_categories_put_teachers_first_and_classification_together():
    metrics = ["knn/accuracy", "linear_probe/accuracy", "ood/auroc", "sam/spatial/mse"]
    metrics += ["sam/spatial/fidelity", "clip/spatial/fidelity", "clip/summary/fidelity"]
    assert default_categories(metrics, ["clip", "sam"]) == {
        "teachers": [["sam/spatial/fidelity"], ["clip/spatial/fidelity", "clip/summary/fidelity"]],
        "classification": ["knn/accuracy", "linear_probe/accuracy"],
        "ood": ["ood/auroc"],
    }
