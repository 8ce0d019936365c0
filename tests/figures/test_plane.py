"""What figures 4 to 8 claim, as numbers (PHI-S, section 2 and appendix A.2)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.figures.errors import DIAGONAL, ONE_HOT
from phis_lab.figures.gallery import elongation
from phis_lab.figures.plane import (
    EIGENVALUES,
    MEAN,
    METHODS,
    error_radius,
    extreme_errors,
    plane_gaussian,
    unit_errors,
)
from phis_lab.normalizers import Identity

RADIUS = 1.400892  # of the paper's figure 6
QUARTER = torch.pi / 2
ANGLES = torch.linspace(0, 2 * torch.pi, 721, dtype=torch.float64)


def fitted(name, tilt=30.0):
    return plane_gaussian(tilt).fit(METHODS[name])


def radius(name, angles=ANGLES, tilt=30.0):
    return error_radius(fitted(name, tilt), angles)


def quarters(offset=0.0):
    return torch.arange(4, dtype=torch.float64) * QUARTER + offset


@given(tilt=st.floats(0, 180))
def test_the_sample_has_exactly_the_moments_it_is_said_to_have(tilt):
    gaussian = plane_gaussian(tilt)
    covariance = gaussian.axes @ torch.tensor(EIGENVALUES, dtype=torch.float64).diag() @ gaussian.axes.T
    torch.testing.assert_close(gaussian.samples.T.cov(), covariance, rtol=0, atol=1e-12)
    torch.testing.assert_close(gaussian.samples.mean(dim=0), torch.tensor(MEAN).double(), rtol=0, atol=1e-12)


def test_an_error_of_one_channel_has_the_papers_radius_under_hca():
    sizes = fitted("HCA").unscale(ONE_HOT).norm(dim=1)
    assert sizes.tolist() == pytest.approx([RADIUS] * 4, abs=1e-6)


def test_every_error_has_the_same_radius_under_phis():
    assert radius("PHI-S").tolist() == pytest.approx([RADIUS] * len(ANGLES), abs=1e-6)


def test_errors_alike_in_both_channels_lie_on_the_principal_axes_under_phis():
    along = fitted("PHI-S").unscale(DIAGONAL) @ plane_gaussian().axes
    sizes = along.abs().sort(dim=1).values
    torch.testing.assert_close(sizes, torch.tensor([[0.0, RADIUS]]).double().expand(4, 2), rtol=0, atol=1e-6)


def test_global_standardisation_is_flat_at_the_root_of_phi_squared_and_the_spread_of_the_means():
    expected = (sum(EIGENVALUES) / 2 + torch.tensor(MEAN).double().var(correction=0)) ** 0.5
    torch.testing.assert_close(radius("Global Stdze"), expected.expand(len(ANGLES)))


def test_pca_whitening_is_extremal_on_the_axes_of_its_space():
    most, least = (value**0.5 for value in EIGENVALUES)
    assert radius("PCA-W", quarters()).tolist() == pytest.approx([most, least, most, least])
    assert (float(radius("PCA-W").max()), float(radius("PCA-W").min())) == pytest.approx((most, least))


def test_hca_meets_phis_on_the_axes_and_is_extremal_between_them():
    torch.testing.assert_close(radius("HCA", quarters()), radius("PHI-S", quarters()))
    between = sorted(radius("HCA", quarters(QUARTER / 2)).tolist())
    least, most = EIGENVALUES[1] ** 0.5, EIGENVALUES[0] ** 0.5
    assert between == pytest.approx([least, least, most, most])


@given(tilt=st.floats(-45, 45))
def test_standardize_lies_between_pca_whitening_and_phis(tilt):
    middle, outer = radius("Standardize", tilt=tilt).square(), radius("PCA-W", tilt=tilt).square()
    phi_squared = radius("PHI-S", tilt=tilt).square()
    assert (((middle - phi_squared) * (outer - phi_squared)) >= -1e-9).all()
    assert ((middle - phi_squared).abs() <= (outer - phi_squared).abs() + 1e-9).all()


@pytest.mark.parametrize(("name", "shift"), [("ZCA", 30.0), ("HCA", -45.0)])
def test_whitening_curves_are_copies_shifted_by_their_rotation(name, shift):
    shifted = ANGLES - torch.deg2rad(torch.tensor(shift).double())
    torch.testing.assert_close(radius(name), radius("PCA-W", shifted))


def test_the_dots_are_the_extremes_of_the_ellipse():
    for name in ("Standardize", "PCA-W", "ZCA", "HCA"):
        normalizer = fitted(name)
        extremes, sizes = extreme_errors(normalizer), radius(name)
        assert float(normalizer.unscale(extremes.most).norm(dim=1)[0]) == pytest.approx(float(sizes.max()), rel=1e-4)
        assert float(normalizer.unscale(extremes.least).norm(dim=1)[0]) == pytest.approx(float(sizes.min()), rel=1e-3)
        torch.testing.assert_close(extremes.most.norm(dim=1), torch.ones(2).double())


def test_where_errors_have_no_direction_there_are_no_dots():
    assert extreme_errors(fitted("PHI-S")) is None
    assert extreme_errors(fitted("Global Stdze")) is None
    assert extreme_errors(plane_gaussian().fit(Identity)) is None


@given(tilt=st.floats(0, 180))
def test_phis_gives_one_shape_at_every_tilt_but_for_the_signs_of_the_axes(tilt):
    reference = plane_gaussian(0.0, mean=(0.0, 0.0))
    turned = plane_gaussian(tilt, mean=(0.0, 0.0))
    expected = reference.fit(METHODS["PHI-S"])(reference.axes.T)
    found = turned.fit(METHODS["PHI-S"])(turned.axes.T)
    for axis, other in zip(found, expected, strict=True):
        assert min(float((axis - other).norm()), float((axis + other).norm())) < 1e-9


def test_standardize_depends_on_the_tilt():
    shapes = [elongation(fitted("Standardize", tilt)(plane_gaussian(tilt).samples)) for tilt in (0.0, 40.0, 80.0)]
    assert shapes[0] == pytest.approx(1.0)
    assert shapes[0] < shapes[2] < shapes[1]


def test_a_unit_error_has_size_one_in_every_direction():
    torch.testing.assert_close(unit_errors(ANGLES).norm(dim=1), torch.ones(len(ANGLES)).double())
