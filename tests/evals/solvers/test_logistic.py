"""Logistic regression for all values of C at once against scikit-learn and against each C alone."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from phis_lab.evals import fit_logistic, linear_probe, linear_probe_path

CS = [1e-3, 0.1, 1.0, 30.0]


def data(classes, n=400, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    x = torch.randn(classes, dim, generator=generator)[y] + torch.randn(n, dim, generator=generator)
    return x * torch.logspace(-0.5, 0.5, dim) + 2, y


def test_coefficients_and_intercepts_are_scikit_learns():
    x, y = data(4)
    fit = fit_logistic(x, y, CS, tolerance=1e-8)
    for i, c in enumerate(CS):
        peer = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10).fit(x.double().numpy(), y.numpy())
        weight = fit.weight[i] - fit.weight[i].mean(dim=0)
        bias = fit.bias[i] - fit.bias[i].mean()
        torch.testing.assert_close(weight, torch.from_numpy(peer.coef_), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            bias, torch.from_numpy(peer.intercept_ - peer.intercept_.mean()), rtol=1e-4, atol=1e-4
        )


def test_two_classes_are_scikit_learns_single_vector_at_twice_the_c():
    x, y = data(2)
    fit = fit_logistic(x, y, [0.3], tolerance=1e-8)
    peer = LogisticRegression(C=0.6, solver="newton-cholesky", tol=1e-10).fit(x.double().numpy(), y.numpy())
    torch.testing.assert_close(
        fit.weight[0, 1] - fit.weight[0, 0], torch.from_numpy(peer.coef_[0]), rtol=1e-4, atol=1e-5
    )


def test_every_c_of_a_batch_is_solved_as_it_is_alone():
    x, y = data(5)
    together = fit_logistic(x, y, CS)
    for i, c in enumerate(CS):
        alone = fit_logistic(x, y, [c])
        assert together.objective[i].item() == pytest.approx(alone.objective.item(), rel=1e-6)
        torch.testing.assert_close(together.weight[i], alone.weight[0], rtol=1e-2, atol=1e-3)


def test_the_same_features_give_the_same_bits():
    x, y = data(4)
    first, second = (fit_logistic(x, y, CS) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_fewer_images_than_channels_lose_no_accuracy():
    x, y = data(3, n=30, dim=80)
    fit = fit_logistic(x, y, [1.0], tolerance=1e-8)
    peer = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10).fit(x.double().numpy(), y.numpy())
    torch.testing.assert_close(fit.weight[0], torch.from_numpy(peer.coef_), rtol=1e-3, atol=1e-5)


def test_one_probe_is_the_path_of_one_c():
    x, y = data(4)
    split = (x[:300], y[:300], x[300:], y[300:])
    assert linear_probe(*split, c=0.1) == linear_probe_path(*split, cs=[0.1])[0]


def test_no_c_is_refused():
    x, y = data(2)
    with pytest.raises(ValueError, match="cs holds no value"):
        linear_probe_path(x, y, x, y, cs=[])
