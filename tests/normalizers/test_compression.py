"""Fixed compressions: what they keep, and what they refuse."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from normalizer_samples import COMPRESSING, concrete, features, moments_of
from sklearn.decomposition import PCA, TruncatedSVD
from torch.testing import assert_close

from phis_lab.features import Features
from phis_lab.linalg import Moments, random_rotation
from phis_lab.metrics import cosine_preservation, orthogonality
from phis_lab.normalizers import FeatureMap, LinearCompression, NotInvertibleError, TeacherSpace
from phis_lab.normalizers.pca_truncation import PCATruncation
from phis_lab.normalizers.random_projection import RandomProjection

DIM, WIDTH = 12, 5
fixed = pytest.mark.parametrize("method", concrete(LinearCompression).values())
every = pytest.mark.parametrize("method", COMPRESSING.values())
centers = pytest.mark.parametrize("center", [True, False])
seeds = st.integers(0, 1000)


def fitted(method, rows, width=WIDTH, **options):
    return method(rows.shape[-1], width, **options).double().fit(moments_of(rows))


def variance(rows):
    return rows.var(dim=0).sum()


@fixed
@centers
def test_rows_are_orthonormal_and_a_scale_would_change_nothing(method, center):
    compression = fitted(method, features(DIM), center=center)
    assert_close(compression.weight @ compression.weight.T, torch.eye(WIDTH).double())
    assert orthogonality(compression.weight)["procrustes"].item() == pytest.approx(0, abs=1e-7)


@fixed
@centers
def test_it_is_the_product_with_its_rows(method, center):
    rows = features(DIM)
    compression = fitted(method, rows, center=center)
    shifted = rows - rows.mean(0) if center else rows
    assert_close(compression(rows), shifted @ compression.weight.T)
    grid = compression(rows[:36].reshape(1, 6, 6, DIM))
    assert_close(grid.reshape(36, WIDTH), compression(rows[:36]))


@given(seed=seeds, width=st.integers(1, DIM))
def test_pca_is_scikit_learns_up_to_signs(seed, width):
    rows = features(DIM, seed=seed, decay=4)
    theirs = torch.from_numpy(PCA(width).fit_transform(rows.numpy()))
    assert_close(fitted(PCATruncation, rows, width)(rows).abs(), theirs.abs(), rtol=1e-6, atol=1e-6)


def test_without_centring_it_is_the_truncated_singular_value_decomposition():
    rows = features(DIM, decay=4, offset=3)
    theirs = torch.from_numpy(TruncatedSVD(WIDTH, algorithm="arpack").fit_transform(rows.numpy()))
    ours = fitted(PCATruncation, rows, center=False)
    assert_close(ours(rows).abs(), theirs.abs(), rtol=1e-6, atol=1e-6)
    assert not ours.shift.any()


@given(seed=seeds, width=st.integers(1, DIM))
def test_no_other_directions_keep_as_much_variance(seed, width):
    rows = features(DIM, seed=seed)
    kept = variance(fitted(PCATruncation, rows, width)(rows))
    assert_close(kept, moments_of(rows).eigh()[0][:width].sum())
    others = (random_rotation(DIM, seed + i)[:width] for i in range(5))
    assert all(variance(rows @ other.T) <= kept + 1e-9 for other in others)


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 0.5])
def test_procrustes_towards_its_own_frame_whitened_or_not_is_the_truncation(exponent):
    moments = moments_of(features(DIM))
    values, basis = moments.eigh()
    frame = values[:WIDTH, None] ** exponent * basis.T[:WIDTH]
    left, _, right = torch.linalg.svd(frame @ moments.covariance, full_matrices=False)
    assert_close(left @ right, fitted(PCATruncation, features(DIM)).weight, rtol=1e-6, atol=1e-6)


def test_random_rows_keep_their_share_of_the_variance_on_average():
    rows = features(DIM)
    kept = [variance(fitted(RandomProjection, rows, seed=seed)(rows)) for seed in range(300)]
    assert (torch.stack(kept).mean() / variance(rows)).item() == pytest.approx(WIDTH / DIM, rel=0.1)


def test_random_rows_depend_on_the_seed_alone_and_draw_from_no_other_stream():
    before = torch.get_rng_state()
    first, again, other = (fitted(RandomProjection, features(DIM), seed=seed).weight for seed in (1, 1, 2))
    wider = fitted(RandomProjection, features(DIM, seed=9), WIDTH + 2, seed=1).weight
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert torch.equal(first, wider[:WIDTH])
    assert not torch.equal(first, other)


def test_variances_alone_are_enough_for_random_rows_only():
    diagonal = Moments(DIM, diagonal=True).update(features(DIM))
    assert RandomProjection(DIM, WIDTH).fit(diagonal).is_fitted
    with pytest.raises(ValueError, match="needs the covariance"):
        PCATruncation(DIM, WIDTH).fit(diagonal)


@fixed
def test_at_the_full_width_all_cosines_are_kept(method):
    rows = features(DIM, 30)
    kept = cosine_preservation(rows, fitted(method, rows, DIM, center=False)(rows))
    assert kept["pearson"].item() == pytest.approx(1)
    assert kept["mean_abs_difference"].item() == pytest.approx(0, abs=1e-9)


@fixed
@centers
def test_a_file_and_a_state_restore_it(method, center, tmp_path):
    rows = features(DIM)
    compression = method(DIM, WIDTH, center=center).fit(moments_of(rows))
    compression.save(tmp_path / "n.safetensors")
    loaded, fresh = FeatureMap.load(tmp_path / "n.safetensors"), method(DIM, WIDTH, center=center)
    fresh.load_state_dict(compression.state_dict())
    assert type(loaded) is method
    assert torch.equal(loaded(rows), compression(rows))
    assert torch.equal(fresh(rows), compression(rows))


@fixed
def test_half_precision_is_computed_in_float32_and_a_large_mean_costs_nothing(method):
    rows = features(DIM, decay=2)
    compression = method(DIM, WIDTH).fit(moments_of(rows))
    half = rows.bfloat16()
    assert compression(half).dtype == torch.float32
    exact = (half.double() - rows.mean(0)) @ compression.weight.T
    assert_close(compression(half).double(), exact, rtol=1e-5, atol=1e-5)
    far = rows.float() + 1000
    moved = method(DIM, WIDTH).fit(moments_of(far))
    assert_close(moved(far).double(), (far.double() - moved.shift) @ moved.weight.T, rtol=1e-4, atol=1e-5)


@fixed
def test_unfitted_it_is_refused(method):
    with pytest.raises(ValueError, match="call fit"):
        method(DIM, WIDTH)(features(DIM))


@every
def test_there_is_no_way_back_and_its_space_says_so(method):
    space = TeacherSpace("clip", method(DIM, WIDTH).fit(moments_of(features(DIM))))
    prediction = Features(None, torch.zeros(2, 1, 1, WIDTH))
    assert not space.is_invertible
    with pytest.raises(NotInvertibleError, match="the student is matched in its own space"):
        space.restored(prediction)
    target = Features(features(DIM)[:2].float(), features(DIM)[:2].float()[:, None, None])
    compared, mapped = space.comparable(prediction, target)
    assert compared is prediction
    assert torch.equal(mapped.summary, space.spatial(target.summary))
    assert torch.equal(mapped.spatial, space.spatial(target.spatial))


@every
@pytest.mark.parametrize("width", [DIM + 1, 0, -3])
def test_a_student_wider_than_the_teacher_is_refused(method, width):
    with pytest.raises(ValueError, match=f"teacher's 12 channels, got {width}"):
        method(DIM, width)


@every
def test_both_sizes_are_shown(method):
    assert "dim=12, out_dim=5" in repr(method(DIM, WIDTH))


@every
def test_other_channels_are_refused(method):
    compression = method(DIM, WIDTH).fit(moments_of(features(DIM)))
    with pytest.raises(ValueError, match="expected 12 channels"):
        compression(torch.zeros(2, DIM + 1))
