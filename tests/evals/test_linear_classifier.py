"""The fitted probe against scikit-learn."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.testing import assert_close

from phis_lab.evals.answers import fit_linear_classifier
from phis_lab.evals.probes.linear import linear_probe


def drawn(count: int = 120, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([3, 7, 11])[torch.arange(count) % 3]
    scale = torch.tensor([0.01, 1.0, 30.0, 5.0])
    return scale * (torch.randn(count, 4, generator=generator) + torch.eye(12, 4)[labels % 4]) + 2, labels


def test_probabilities_are_those_of_scikit_learn_on_standardised_features() -> None:
    x, y = drawn()
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=0.7, tol=1e-8, max_iter=2000)).fit(x.numpy(), y.numpy())
    ours = fit_linear_classifier(x, y, c=0.7)
    assert ours.classes.tolist() == peer.classes_.tolist()
    fresh = drawn(seed=1)[0]
    expected = torch.from_numpy(peer.predict_proba(fresh.numpy())).double()
    assert_close(ours.logits(fresh).softmax(1), expected, atol=2e-4, rtol=0)


def test_accuracy_is_that_of_the_linear_probe() -> None:
    (x, y), (test_x, test_y) = drawn(), drawn(seed=1)
    accuracy = (fit_linear_classifier(x, y).predict(test_x) == test_y).double().mean().item()
    assert accuracy == linear_probe(x, y, test_x, test_y).accuracy


def test_among_leaves_no_other_answer() -> None:
    x, y = drawn()
    assert set(fit_linear_classifier(x, y).among(torch.tensor([3, 11])).predict(x).tolist()) == {3, 11}


def test_nan_is_refused() -> None:
    x, y = drawn()
    with pytest.raises(ValueError, match="NaN or infinity"):
        fit_linear_classifier(x.index_fill(0, torch.tensor([5]), torch.nan), y)
