"""What is said of a compression, against numpy, scipy and the laws of orthogonal maps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import orthogonal_procrustes
from torch.testing import assert_close

from phis_lab.linalg import random_rotation
from phis_lab.metrics import cosine_preservation, orthogonality

seeds = st.integers(0, 1000)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def values(result):
    return {name: value.item() for name, value in result.items()}


@given(seed=seeds, scale=st.floats(0.01, 100), outputs=st.integers(1, 8))
def test_scaled_orthonormal_rows_have_one_singular_value_and_no_deviation(seed, scale, outputs):
    found = values(orthogonality(scale * random_rotation(8, seed)[:outputs]))
    for name in ("singular_min", "singular_median", "singular_max"):
        assert found[name] == pytest.approx(scale)
    assert found["deviation"] == pytest.approx(0, abs=1e-7)
    assert found["procrustes"] == pytest.approx(0, abs=1e-7)


@given(seed=seeds)
def test_it_is_what_the_formulas_say(seed):
    weight = normal(4, 9, seed=seed)
    found, w = values(orthogonality(weight.float())), weight.float().double().numpy()
    singular = np.linalg.svd(w, compute_uv=False)
    expected = [singular.min(), np.median(singular), singular.max()]
    assert [found[f"singular_{name}"] for name in ("min", "median", "max")] == pytest.approx(expected)
    square = (w**2).sum() / 4
    assert found["deviation"] == pytest.approx(np.linalg.norm(w @ w.T / square - np.eye(4)) / 4**0.5)
    left, _, right = np.linalg.svd(w, full_matrices=False)
    scales = np.linspace(0, 2 * singular.max(), 4001)
    misfits = [np.linalg.norm(w - s * left @ right) for s in scales]
    assert found["procrustes"] == pytest.approx(min(misfits) / np.linalg.norm(w), abs=1e-4)


@given(seed=seeds)
def test_the_nearest_orthogonal_map_is_the_procrustes_solution(seed):
    weight = normal(5, 5, seed=seed)
    rotation, total = orthogonal_procrustes(np.eye(5), weight.numpy())
    scale = total / 5
    misfit = np.linalg.norm(weight.numpy() - scale * rotation) / np.linalg.norm(weight.numpy())
    assert values(orthogonality(weight))["procrustes"] == pytest.approx(misfit)


def test_a_matrix_of_rank_one_is_as_far_from_it_as_can_be():
    found = values(orthogonality(torch.outer(torch.ones(4), torch.ones(6))))
    assert found["deviation"] == pytest.approx(3**0.5)
    assert found["procrustes"] == pytest.approx((1 - 1 / 4) ** 0.5)


def test_more_rows_than_columns_are_refused():
    with pytest.raises(ValueError, match="got 5 x 4"):
        orthogonality(torch.ones(5, 4))


def pair_by_pair(rows):
    found = []
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            found.append(rows[i] @ rows[j] / (np.linalg.norm(rows[i]) * np.linalg.norm(rows[j])))
    return np.array(found)


@given(seed=seeds, count=st.integers(3, 12))
def test_cosines_are_compared_as_numpy_and_scipy_do(seed, count):
    before, after = normal(count, 6, seed=seed), normal(count, 3, seed=seed + 1)
    found = values(cosine_preservation(before, after))
    x, y = pair_by_pair(before.numpy()), pair_by_pair(after.numpy())
    assert found["pearson"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
    assert found["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    assert found["mean_abs_difference"] == pytest.approx(np.abs(x - y).mean())
    assert (found["mean_before"], found["mean_after"]) == pytest.approx((x.mean(), y.mean()))


def test_equal_cosines_share_their_rank():
    corners = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1], [1, 1]]).double()
    after = normal(5, 3)
    expected = stats.spearmanr(pair_by_pair(corners.numpy()), pair_by_pair(after.numpy())).statistic
    assert values(cosine_preservation(corners, after))["spearman"] == pytest.approx(expected)


@given(seed=seeds)
def test_rotations_and_lengths_keep_everything(seed):
    rows = normal(8, 6, seed=seed)
    moved = (1 + normal(8, 1, seed=seed).abs()) * rows @ random_rotation(6, seed)
    found = values(cosine_preservation(rows.float(), moved.float()))
    assert found["pearson"] == pytest.approx(1)
    assert found["spearman"] > 0.9
    assert found["mean_abs_difference"] == pytest.approx(0, abs=1e-6)


def test_cosines_that_are_all_equal_have_no_correlation():
    found = cosine_preservation(torch.eye(4), normal(4, 3))
    assert found["pearson"].isnan()
    assert found["spearman"].isnan()
    assert_close(found["mean_before"], torch.tensor(0.0).double())


@pytest.mark.parametrize(("before", "after"), [(2, 2), (4, 5)])
def test_too_few_rows_or_others_are_refused(unchecked_shapes, before, after):
    with pytest.raises(ValueError, match=rf"rows that correspond, got {before} and {after}"):
        cosine_preservation(torch.ones(before, 3), torch.ones(after, 2))
