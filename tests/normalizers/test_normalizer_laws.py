"""What the paper's theory says must hold of each method, in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from normalizer_samples import (
    METHODS,
    SCALED_ROTATIONS,
    WHITENING,
    features,
    fitted,
    moments_of,
    phi,
)
from torch.testing import assert_close

from phis_lab.linalg import hadamard_rotation, random_rotation
from phis_lab.normalizers import (
    CenterScale,
    GlobalStandardize,
    HadamardWhiten,
    PartialWhiten,
    PCAWhiten,
    PhiS,
    RandomRotationScale,
)

seeds = st.integers(0, 10_000)
hadamard_dims = st.sampled_from([1, 2, 4, 8, 12, 20, 28, 64])
dims = st.integers(1, 30)


def errors(dim: int, seed: int) -> torch.Tensor:
    return torch.randn(50, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))


def mse(normalizer, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The loss of each sample after normalisation, for a prediction given in the teacher's space."""
    return (normalizer(prediction) - normalizer(target)).square().mean(-1)


@pytest.mark.parametrize("method", METHODS)
@given(dim=hadamard_dims, seed=seeds)
def test_inverse_undoes_forward_and_the_matrix_maps_agree(method, dim, seed):
    rows = features(dim, seed=seed)
    normalizer = fitted(method, rows)
    weight, shift = normalizer.affine()
    assert_close(normalizer.inverse(normalizer(rows)), rows, rtol=1e-9, atol=1e-9)
    assert_close(normalizer(rows), (rows - shift) @ weight.T, rtol=1e-9, atol=1e-9)
    zeros = torch.zeros(1, dim, dtype=torch.float64)
    assert_close(normalizer.inverse(zeros), shift[None], rtol=1e-9, atol=1e-9)


@given(dim=dims, seed=seeds)
def test_phis_gives_every_channel_variance_one(dim, seed):
    rows = features(dim, seed=seed)
    normalizer = fitted("phis", rows)
    assert_close(normalizer(rows).var(0), torch.ones(dim, dtype=torch.float64), rtol=1e-10, atol=0)
    assert_close(normalizer(rows).mean(0), torch.zeros(dim, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", WHITENING)
@given(dim=hadamard_dims, seed=seeds)
def test_whitening_gives_the_identity_as_covariance(method, dim, seed):
    rows = features(dim, seed=seed)
    covariance = fitted(method, rows)(rows).T.cov().reshape(dim, dim)
    assert_close(covariance, torch.eye(dim, dtype=torch.float64), rtol=0, atol=1e-9)


def test_standardize_gives_unit_variances_but_leaves_correlations():
    rows = features(64)
    covariance = fitted("standardize", rows)(rows).T.cov()
    assert_close(covariance.diagonal(), torch.ones(64, dtype=torch.float64))
    assert (covariance - covariance.diagonal().diag()).abs().max() > 0.3


@pytest.mark.parametrize("method", SCALED_ROTATIONS)
@given(dim=dims, seed=seeds)
def test_scaled_rotations_are_isometries_up_to_phi(method, dim, seed):
    rows = features(dim, seed=seed)
    normalizer = fitted(method, rows)
    error = errors(dim, seed)
    back = normalizer.inverse(error) - normalizer.inverse(torch.zeros_like(error))
    assert torch.linalg.cond(normalizer.affine()[0]) == pytest.approx(1, abs=1e-9)
    assert_close(back.norm(dim=-1), phi(rows) * error.norm(dim=-1), rtol=1e-9, atol=0)


def test_whitening_is_no_isometry():
    assert torch.linalg.cond(fitted("zca_whiten", features(64)).affine()[0]) > 50


@pytest.mark.parametrize("method", SCALED_ROTATIONS)
@given(dim=dims, seed=seeds)
def test_scaled_rotations_share_one_loss_which_is_the_raw_loss_over_phi_squared(method, dim, seed):
    rows = features(dim, seed=seed)
    target = rows[:50]
    prediction = target + errors(dim, seed)
    raw = (prediction - target).square().mean(-1)
    assert_close(mse(fitted(method, rows), prediction, target), raw / phi(rows) ** 2, rtol=1e-9, atol=0)


@pytest.mark.parametrize("method", WHITENING)
@given(dim=hadamard_dims, seed=seeds)
def test_whitening_methods_share_one_loss_which_is_the_mahalanobis_error(method, dim, seed):
    rows = features(dim, seed=seed)
    error = errors(dim, seed)
    covariance = rows.T.cov().reshape(dim, dim)
    expected = (error * torch.linalg.solve(covariance, error.T).T).mean(-1)
    assert_close(mse(fitted(method, rows), rows[:50] + error, rows[:50]), expected, rtol=1e-8, atol=0)


@given(dim=dims, seed=seeds)
def test_global_standardize_counts_the_spread_of_means_as_variance(dim, seed):
    rows = features(dim, seed=seed, offset=3.0)
    sigma = 1 / fitted("global_standardize", rows).affine()[0][0, 0]
    assert_close(sigma**2, phi(rows) ** 2 + rows.mean(0).var(correction=0), rtol=1e-10, atol=0)


@given(dim=hadamard_dims, seed=seeds)
def test_one_hot_errors_grow_by_phi_under_hadamard_whitening_as_under_phis(dim, seed):
    rows = features(dim, seed=seed)
    expected = phi(rows).expand(dim)
    for method in ("hadamard_whiten", "phis"):
        columns = torch.linalg.inv(fitted(method, rows).affine()[0]).norm(dim=0)
        assert_close(columns, expected, rtol=1e-8, atol=0)


def test_one_hot_errors_grow_by_the_root_of_an_eigenvalue_under_pca_whitening():
    rows = features(64)
    columns = torch.linalg.inv(fitted("pca_whiten", rows).affine()[0]).norm(dim=0)
    assert_close(columns, moments_of(rows).eigh()[0].sqrt(), rtol=1e-9, atol=0)


def test_one_hot_errors_lie_in_between_under_zca_and_standardize():
    rows = features(64)
    largest = moments_of(rows).eigh()[0].sqrt().max()
    for method in ("zca_whiten", "standardize"):
        columns = torch.linalg.inv(fitted(method, rows).affine()[0]).norm(dim=0)
        assert 1.01 < columns.max() / columns.min() < 50
        assert columns.max() < largest


def test_the_papers_two_dimensional_example_has_radius_1_400892():
    spectrum = torch.tensor([3.8356, 0.0894], dtype=torch.float64)
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    rows = corners * (spectrum * 3 / 4).sqrt() @ random_rotation(2, 0).T
    for method in (HadamardWhiten(2), PhiS(2)):
        columns = torch.linalg.inv(method.double().fit(moments_of(rows)).affine()[0]).norm(dim=0)
        assert_close(columns, torch.full((2,), 1.400892, dtype=torch.float64), rtol=0, atol=1e-6)


@given(dim=dims, seed=seeds)
def test_a_rotation_of_the_data_changes_phis_only_by_signs_of_components(dim, seed):
    rows = features(dim, seed=seed)
    turned = rows @ random_rotation(dim, seed + 1).T
    first, second = fitted("phis", rows), fitted("phis", turned)
    assert_close(first.affine()[0].norm(), second.affine()[0].norm(), rtol=1e-10, atol=0)
    if first.rotation == "hadamard":
        mixing = hadamard_rotation(dim)
        assert_close((first(rows) @ mixing).abs(), (second(turned) @ mixing).abs(), rtol=0, atol=1e-6)


@given(exponent=st.floats(-11, -1))
def test_phis_stays_finite_as_the_rank_falls_while_whitening_gains_diverge(exponent):
    faint = 10**exponent
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    rows = corners * torch.tensor([1.0, faint], dtype=torch.float64).sqrt() * 0.75**0.5
    gains = {m: torch.linalg.matrix_norm(fitted(m, rows).affine()[0], 2).item() for m in ("phis", "pca_whiten")}
    assert gains["phis"] == pytest.approx((2 / (1 + faint)) ** 0.5, rel=1e-9)
    floor = 1e-6 * (1 + faint) / 2
    assert gains["pca_whiten"] == pytest.approx(max(faint, floor) ** -0.5, rel=1e-4)


def test_cosine_is_blind_to_rotation_and_scale_but_not_to_centring():
    rows = features(64)
    prediction = rows + 0.1 * torch.randn(rows.shape, dtype=torch.float64, generator=torch.manual_seed(0))
    normalizer = fitted("phis", rows)
    weight, shift = normalizer.affine()

    def cosine(x, y):
        return torch.cosine_similarity(x, y, dim=-1)

    raw = cosine(prediction, rows)
    assert_close(cosine(prediction @ weight.T, rows @ weight.T), raw)
    assert_close(cosine(normalizer(prediction), normalizer(rows)), cosine(prediction - shift, rows - shift))
    assert (cosine(normalizer(prediction), normalizer(rows)) - raw).abs().mean() > 1e-3


@given(dim=st.sampled_from([4, 6, 12, 16]), seed=seeds)
def test_degenerate_spectra_still_give_unit_variances(dim, seed):
    white = torch.linalg.qr(torch.randn(100, dim, dtype=torch.float64, generator=torch.manual_seed(seed)))[0]
    white = torch.linalg.qr(white - white.mean(0))[0]
    for rows in (white, white * torch.tensor([1.0, 2.0], dtype=torch.float64).repeat(dim // 2)):
        variances = fitted("phis", rows)(rows).var(0)
        assert_close(variances, torch.ones(dim, dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_two_fits_on_the_same_moments_have_the_same_bits(method):
    rows = features(24)
    moments = moments_of(rows)
    first, second, third = METHODS[method](24).fit(moments), METHODS[method](24).fit(moments), fitted(method, rows)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
        assert torch.equal(value, third.state_dict()[name])


@given(dim=dims, seed=seeds, gamma=st.floats(0, 1))
def test_partial_whitening_has_mean_variance_one(dim, seed, gamma):
    rows = features(dim, seed=seed)
    normalizer = PartialWhiten(dim, gamma).double().fit(moments_of(rows))
    assert normalizer(rows).var(0).mean().item() == pytest.approx(1, rel=1e-9)


@given(dim=dims, seed=seeds)
def test_partial_whitening_runs_from_pca_scale_to_pca_whiten(dim, seed):
    rows = features(dim, seed=seed)
    for gamma, method in ((0, "pca_scale"), (1, "pca_whiten")):
        normalizer = PartialWhiten(dim, gamma).double().fit(moments_of(rows))
        assert_close(normalizer(rows), fitted(method, rows)(rows), rtol=1e-9, atol=1e-9)


@given(dim=dims, seed=seeds)
def test_center_scale_is_the_norm_of_phis_without_its_rotation(dim, seed):
    rows = features(dim, seed=seed)
    moments = moments_of(rows)
    centred = CenterScale(dim).double().fit(moments)(rows)
    assert_close(centred, (rows - rows.mean(0)) / phi(rows), rtol=1e-9, atol=1e-9)
    assert_close(centred.norm(dim=-1), PhiS(dim).double().fit(moments)(rows).norm(dim=-1), rtol=1e-9, atol=0)


def test_zca_is_the_inverse_square_root_of_the_covariance():
    rows = features(16)
    weight, _ = fitted("zca_whiten", rows).affine()
    assert_close(weight, weight.T)
    assert_close(weight @ rows.T.cov() @ weight, torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-9)


def test_where_hadamards_are_unknown_phis_says_that_it_turns_to_another_rotation():
    assert PhiS(768).rotation == "hadamard"
    assert PhiS(92).rotation == PhiS(7).rotation == "equal_diagonal"


def test_random_rotations_differ_between_seeds_only():
    moments = moments_of(features(8))
    first, again, other = (RandomRotationScale(8, seed).fit(moments).affine()[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_pca_whitening_and_global_standardize_take_any_dimension():
    rows = features(7)
    for method in (PCAWhiten(7), GlobalStandardize(7)):
        assert method.fit(moments_of(rows)).is_fitted
