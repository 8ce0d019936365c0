import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from phis_lab.linalg import Moments
from phis_lab.metrics import ErrorSpectrum, TeacherMatching, error_spectrum, spectrum_along

DIM = 5


def features(images=8, offset=0.0, seed=0):
    """Predictions and targets [images, 2, 3, DIM] whose principal components are no channels."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.linalg.qr(torch.randn(DIM, DIM, generator=generator, dtype=torch.float64)).Q
    target = torch.randn(images, 2, 3, DIM, generator=generator, dtype=torch.float64)
    target = (target * torch.logspace(1, -1, DIM, dtype=torch.float64)) @ mixing + offset
    return target + 0.3 * torch.randn(target.shape, generator=generator, dtype=torch.float64) + 0.1, target


def oracle(pred, target):
    """Two passes of numpy: project the errors on the components, then take their variance."""
    pred, target = (x.reshape(-1, DIM).numpy() for x in (pred, target))
    values, basis = np.linalg.eigh(np.cov(target.T, bias=True))
    error = ((pred - target) @ basis[:, ::-1]).var(axis=0)
    return values[::-1], error, np.cumsum(error) / error.sum()


def streamed(*batches):
    teacher, error = Moments(DIM), Moments(DIM)
    for pred, target in batches:
        teacher.update(target)
        error.update(pred - target)
    variances, basis = teacher.eigh()
    of_all = 1 - 1 / teacher.count
    return spectrum_along(of_all * variances, basis, of_all * error.covariance)


def assert_matches(spectrum, expected, rtol=1e-8):
    for name, value, right in zip(spectrum._fields, spectrum, expected, strict=True):
        np.testing.assert_allclose(value, right, rtol=rtol, err_msg=name)


@given(sizes=st.lists(st.integers(2, 4), min_size=1, max_size=4), seed=st.integers(0, 100))
def test_any_batches_give_the_two_pass_result_on_all_tokens(sizes, seed):
    pred, target = features(sum(sizes), seed=seed)
    batches = zip(pred.split(sizes), target.split(sizes), strict=True)
    assert_matches(error_spectrum(pred, target), oracle(pred, target))
    assert_matches(streamed(*batches), oracle(pred, target))


def test_predicting_the_mean_leaves_every_component_unexplained():
    _, target = features()
    spectrum = error_spectrum(target.mean(dim=(0, 1, 2)).expand_as(target), target)
    assert_close(spectrum.error_variance, spectrum.teacher_variance)
    assert_close(spectrum.error_variance / spectrum.teacher_variance, torch.ones(DIM, dtype=torch.float64))


def test_a_truncation_errs_only_along_the_components_that_it_drops():
    _, target = features()
    flat = target.reshape(-1, DIM)
    mean = flat.mean(dim=0)
    kept = torch.linalg.svd(flat - mean, full_matrices=False).Vh[:2]
    spectrum = error_spectrum((flat - mean) @ kept.T @ kept + mean, flat)
    assert_close(
        spectrum.error_variance / spectrum.teacher_variance,
        torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0], dtype=torch.float64),
    )
    assert_close(spectrum.cumulative_share[:2], torch.zeros(2, dtype=torch.float64))
    assert spectrum.cumulative_share[-1] == 1


def test_with_the_bias_the_errors_add_up_to_the_mean_squared_error():
    pred, target = features()
    bias = (pred - target).mean(dim=(0, 1, 2)).square().sum()
    matching = TeacherMatching(DIM)
    matching.update(pred, target)
    total = error_spectrum(pred, target).error_variance.sum() + bias
    assert_close(total / DIM, matching.compute()["mse"])


def test_a_constant_added_to_the_prediction_changes_nothing():
    pred, target = features()
    assert_matches(error_spectrum(pred + 3, target), error_spectrum(pred, target))


@given(seed=st.integers(0, 100))
def test_a_rotation_of_the_teachers_space_changes_nothing(seed):
    pred, target = features(seed=seed)
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, dtype=torch.float64)).Q
    assert_matches(error_spectrum(pred @ rotation, target @ rotation), error_spectrum(pred, target))


def test_a_mean_far_larger_than_the_spread_cancels_nothing():
    pred, target = features(60, offset=1e4)
    batches = zip(pred.split(7), target.split(7), strict=True)
    assert_matches(streamed(*batches), oracle(pred, target), rtol=1e-6)


def test_bands_of_the_teachers_variance_cut_components_in_part():
    spectrum = ErrorSpectrum(*(torch.tensor(values).double() for values in ([6.0, 3, 1], [0.6, 1.5, 1], [0, 0, 1])))
    assert_close(spectrum.unexplained_between(0.0, 0.6).item(), 0.1)
    assert_close(spectrum.unexplained_between(0.9, 1.0).item(), 1.0)
    assert_close(spectrum.unexplained_between(0.3, 0.75).item(), (0.3 + 0.75) / 4.5)
    assert_close(spectrum.unexplained_between(0.0, 1.0).item(), 3.1 / 10)


def test_errors_where_the_teacher_is_constant_count_in_its_last_band():
    spectrum = ErrorSpectrum(*(torch.tensor(values).double() for values in ([9.0, 1, 0], [0.0, 0, 2], [0, 0, 1])))
    assert_close(spectrum.unexplained_between(0.9, 1.0).item(), 2.0)
    assert spectrum.unexplained_between(0.0, 0.9) == 0


@given(start=st.floats(0, 0.9), width=st.floats(0.05, 0.1), seed=st.integers(0, 100))
def test_predicting_the_mean_leaves_every_band_unexplained(start, width, seed):
    _, target = features(seed=seed)
    spectrum = error_spectrum(target.mean(dim=(0, 1, 2)).expand_as(target), target)
    assert_close(spectrum.unexplained_between(start, start + width).item(), 1.0, rtol=1e-6, atol=0)


def test_a_constant_teacher_has_no_band():
    constant = torch.ones(8, DIM, dtype=torch.float64)
    assert error_spectrum(features()[0].reshape(-1, DIM)[:8], constant).unexplained_between(0.0, 0.5).isnan()


def test_a_perfect_match_has_no_error_and_no_share():
    _, target = features()
    spectrum = error_spectrum(target, target)
    assert spectrum.error_variance.eq(0).all()
    assert spectrum.cumulative_share.eq(0).all()


def test_shapes_that_differ_are_refused(unchecked_shapes):
    pred, target = features()
    with pytest.raises(ValueError, match="same shape"):
        error_spectrum(pred[:1], target)


def test_no_tokens_are_refused():
    with pytest.raises(ValueError, match="no tokens"):
        error_spectrum(torch.empty(0, DIM), torch.empty(0, DIM))
