import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal

from phis_lab.reports import average_ranks, default_categories

COLUMNS = [
    "knn/accuracy", "linear_probe/accuracy", "lite/spatial/fidelity", "lite/summary/fidelity",
    "mobile/spatial/fidelity", "mobile/summary/fidelity", "ocr/spatial/fidelity", "xfeat/spatial/fidelity",
]  # fmt: skip
TWELVE = {
    "global_standardize": [74, 79.475, 1.2433, 0.58568, 1.341, 0.56876, 2.0946, 3.2861],
    "hadamard_whiten": [74.6, 80.15, 1.1843, 0.56508, 1.2634, 0.53439, 2.0756, 3.6888],
    "identity": [61.825, 73.625, 1.1088, 0.29073, 1.1653, 0.3139, 1.2611, 1.9777],
    "identity, adaloss": [73.55, 79.425, 1.2285, 0.48232, 1.3229, 0.41652, 1.3473, 3.2811],
    "identity, cosine": [72.375, 78.8, 0.83155, 0.55199, 0.59371, 0.52009, 0.73732, 2.3196],
    "identity, hybrid_mse": [58.325, 74.775, 1.0957, 0.2814, 1.1451, 0.28369, 1.2874, 2.0605],
    "identity, hybrid_smooth_l1": [71.475, 78.875, 1.1073, 0.59187, 1.1681, 0.54576, 1.1424, 2.5557],
    "pca_whiten": [75.8, 80.925, 1.1942, 0.62831, 1.2834, 0.58359, 2.1584, 3.9959],
    "phis": [76.025, 81.2, 1.2791, 0.66198, 1.3913, 0.62403, 2.33, 4.1381],
    "phis, adaloss": [76.725, 81.825, 1.2808, 0.52645, 1.3931, 0.45519, 2.3456, 4.3032],
    "standardize": [77.05, 81.25, 1.2821, 0.6652, 1.3975, 0.61943, 2.3584, 4.4011],
    "zca_whiten": [76.45, 80.8, 1.2066, 0.65503, 1.2969, 0.61996, 2.2142, 4.1522],
}


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
    metrics = ["knn/accuracy", "linear_probe/accuracy", "ood/auroc", "sam/spatial/mse", "knn_dino/accuracy"]
    metrics += [
        "sam/spatial/fidelity",
        "clip/spatial/fidelity",
        "clip/summary/fidelity",
        "clip/spatial/fidelity_mapped",
    ]
    metrics += ["voc/miou", "transfer/mean", "ade20k/miou", "siglip/summary/fidelity"]
    assert default_categories(metrics, ["clip", "sam", "siglip"]) == {
        "teachers": ["sam/spatial/fidelity", "clip/spatial/fidelity"],
        "classification": ["knn/accuracy", "linear_probe/accuracy", "knn_dino/accuracy"],
        "ood": ["ood/auroc"],
        "segmentation": ["voc/miou", "ade20k/miou"],
        "transfer": ["transfer/mean"],
    }


def test_summaries_that_are_trained_by_cosine_do_not_enter_the_papers_rule():
    """Twelve methods at pocket scale: means of two seeds, of four teachers, two of which have summaries."""
    table = pd.DataFrame.from_dict(TWELVE, orient="index", columns=COLUMNS)
    ranks = average_ranks(table, default_categories(COLUMNS, ["lite", "mobile", "ocr", "xfeat"]))["Avg"]
    assert ranks[["standardize", "phis, adaloss", "phis", "identity"]].tolist() == [1.25, 1.75, 3.375, 10.875]
    by_error = 1 / table.filter(like="spatial")
    categories = {"MSE": list(by_error.columns), "Cls": ["knn/accuracy", "linear_probe/accuracy"]}
    errors = average_ranks(by_error.join(table[categories["Cls"]]), categories, lower_is_better=categories["MSE"])
    assert_series_equal(errors["Avg"], ranks)
