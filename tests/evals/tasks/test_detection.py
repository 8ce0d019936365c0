"""AUROC and FPR@95 against scikit-learn and hand-made scores."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from phis_lab.evals.tasks.ood import auroc, false_positive_rate

scores = st.lists(st.integers(-6, 6), min_size=1, max_size=40).map(lambda x: torch.tensor(x, dtype=torch.float64))


@given(scores, scores)
def test_auroc_is_that_of_scikit_learn_with_ties_too(inliers: Tensor, outliers: Tensor) -> None:
    truth = np.r_[np.ones(len(inliers)), np.zeros(len(outliers))]
    assert auroc(inliers, outliers) == pytest.approx(roc_auc_score(truth, torch.cat([inliers, outliers])), abs=1e-12)


@given(scores, scores)
def test_a_monotone_map_changes_nothing(inliers: Tensor, outliers: Tensor) -> None:
    assert auroc(1e6 * inliers - 3e7, 1e6 * outliers - 3e7) == auroc(inliers, outliers)


def test_fpr_at_95_by_hand() -> None:
    inliers = torch.arange(101.0)  # its 5 % quantile is 5
    outliers = torch.tensor([4.9, 5.0, 50.0, -3.0, 7.0])
    assert false_positive_rate(inliers, outliers) == pytest.approx(3 / 5)


def test_fpr_at_95_is_on_the_curve_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    inliers, outliers = torch.randn(2001, generator=generator) + 1, torch.randn(1000, generator=generator)
    false, true, _ = roc_curve([1] * 2001 + [0] * 1000, torch.cat([inliers, outliers]), drop_intermediate=False)
    assert false_positive_rate(inliers, outliers) == pytest.approx(false[np.searchsorted(true, 0.95)], abs=2e-3)


@pytest.mark.parametrize("measure", [auroc, false_positive_rate])
@pytest.mark.parametrize("bad", [torch.tensor([]), torch.tensor([1.0, torch.nan])])
def test_no_scores_and_nan_are_refused(measure: type, bad: Tensor) -> None:
    for pair in ((bad, torch.ones(3)), (torch.ones(3), bad)):
        with pytest.raises(ValueError, match="one score or more of each kind and no NaN"):
            measure(*pair)
