import pytest
import torch
from normalizer_samples import METHODS, features, fitted, moments_of
from torch import nn

from phis_lab.linalg import Moments
from phis_lab.normalizers import HadamardWhiten, NotFittedError, PartialWhiten, PCAWhiten, PhiS, Standardize

DIM = 8
every_method = pytest.mark.parametrize("method", METHODS)
scaling_methods = pytest.mark.parametrize("method", [m for m in METHODS if m != "identity"])


@every_method
@pytest.mark.parametrize("call", ["forward", "inverse", "fold_into", "affine", "save"])
def test_nothing_works_before_fit(method, call):
    normalizer = METHODS[method](DIM)
    arguments = {"fold_into": [nn.Linear(2, DIM)], "affine": [], "save": ["unwritten"]}
    with pytest.raises(NotFittedError, match="has no statistics yet; call fit"):
        getattr(normalizer, call)(*arguments.get(call, [torch.zeros(2, DIM)]))


def test_not_being_fitted_is_a_value_error_and_a_runtime_error():
    assert issubclass(NotFittedError, ValueError)
    assert issubclass(NotFittedError, RuntimeError)


@every_method
def test_another_number_of_channels_is_refused_with_both_numbers(method):
    normalizer = fitted(method, features(DIM))
    with pytest.raises(ValueError, match=r"expected 8 channels in the last axis, got 7 in shape \(2, 7\)"):
        normalizer(torch.zeros(2, 7))
    with pytest.raises(ValueError, match="expected 8 channels in the last axis, got 9"):
        normalizer.inverse(torch.zeros(9))
    with pytest.raises(ValueError, match="must have 8 outputs, or several times as many, got 12"):
        normalizer.fold_into(nn.Linear(3, 12))
    with pytest.raises(ValueError, match="has 8 channels, the moments have 5"):
        METHODS[method](DIM).fit(moments_of(features(5)))


@every_method
@pytest.mark.parametrize("count", [0, 1])
def test_too_few_samples_are_refused(method, count):
    moments = Moments(DIM).update(torch.randn(count, DIM))
    with pytest.raises(ValueError, match=f"too few samples.*hold {count}"):
        METHODS[method](DIM).fit(moments)


@scaling_methods
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_that_are_all_constant_are_refused(method, dtype):
    rows = torch.randn(DIM).to(dtype).expand(50, DIM)
    halves = Moments(DIM).update(rows[:13]).merge(Moments(DIM).update(rows[13:]))
    for moments in (moments_of(rows), halves):
        with pytest.raises(ValueError, match="all features are constant over the 50 samples"):
            METHODS[method](DIM).fit(moments)


def test_constant_features_have_an_identity():
    assert METHODS["identity"](DIM).fit(moments_of(torch.ones(5, DIM))).is_fitted


@every_method
def test_moments_with_nan_are_refused(method):
    moments = moments_of(features(DIM))
    state = moments.state_dict()
    moments.load_state_dict({**state, "scatter": torch.full_like(state["scatter"], float("nan"))})
    with pytest.raises(ValueError, match="NaN or inf"):
        METHODS[method](DIM).fit(moments)


def test_a_refused_fit_leaves_the_earlier_one():
    rows = features(DIM)
    normalizer = fitted("phis", rows)
    expected = normalizer(rows)
    with pytest.raises(ValueError, match="constant"):
        normalizer.fit(moments_of(torch.ones(5, DIM)))
    assert torch.equal(normalizer(rows), expected)


@pytest.mark.parametrize("dim", [3, 92, 188])
def test_hadamard_whitening_refuses_dimensions_without_a_matrix_and_names_alternatives(dim):
    with pytest.raises(ValueError, match=f"order {dim}.*ZCAWhiten or PCAWhiten.*PhiS"):
        HadamardWhiten(dim)


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan")])
def test_gamma_must_lie_between_0_and_1(gamma):
    with pytest.raises(ValueError, match="gamma must lie between 0"):
        PartialWhiten(DIM, gamma)


@pytest.mark.parametrize("method", [Standardize, PCAWhiten])
def test_the_floor_must_lie_between_0_and_1(method):
    for floor in (-1e-6, 2, float("nan")):
        with pytest.raises(ValueError, match="floor is a share of the mean eigenvalue"):
            method(DIM, floor)
    rows = features(DIM)
    rows[:, 2] = 0.0
    with pytest.raises(ValueError, match="1 of 8 directions have no variance and floor=0"):
        Standardize(DIM, floor=0).fit(moments_of(rows))


@pytest.mark.parametrize("dim", [0, -3])
def test_dim_must_be_positive(dim):
    with pytest.raises(ValueError, match=f"positive number of channels, got {dim}"):
        PhiS(dim)
