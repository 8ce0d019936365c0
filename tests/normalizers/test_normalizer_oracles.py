import numpy as np
import pytest
import torch
from normalizer_samples import features, fitted, moments_of
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch.testing import assert_close

from phis_lab.normalizers import PhiS


def test_pca_whitening_is_scikit_learns_up_to_signs():
    rows = features(24)
    expected = PCA(whiten=True).fit_transform(rows.numpy())
    assert_close(fitted("pca_whiten", rows)(rows).abs(), torch.from_numpy(np.abs(expected)), rtol=0, atol=1e-8)


def test_standardize_is_scikit_learns_with_unbiased_variances():
    rows = features(24)
    biased = StandardScaler().fit_transform(rows.numpy())
    unbiased = torch.from_numpy(biased) * ((len(rows) - 1) / len(rows)) ** 0.5
    assert_close(fitted("standardize", rows)(rows), unbiased, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dim", [8, 92])
def test_phis_scale_is_the_papers_equation(dim):
    rows = features(dim)
    centred = rows.numpy() - rows.numpy().mean(0)
    phi = np.sqrt((centred**2).sum() / ((len(rows) - 1) * dim))
    weight, shift = PhiS(dim).double().fit(moments_of(rows)).affine()
    assert_close(weight @ weight.T, torch.eye(dim, dtype=torch.float64) / phi**2, rtol=1e-9, atol=1e-9)
    assert_close(shift, rows.mean(0))


def test_hadamard_whitening_follows_its_closed_form():
    rows = features(4)
    covariance = np.cov(rows.numpy(), rowvar=False)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors = vectors * np.where(np.diag(vectors) < 0, -1, 1)
    sylvester = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    sylvester = sylvester * np.where(np.diag(sylvester) < 0, -1, 1)[:, None]
    expected = sylvester @ np.diag(values**-0.5) @ vectors.T
    assert_close(fitted("hadamard_whiten", rows).affine()[0], torch.from_numpy(expected), rtol=1e-8, atol=1e-8)
    phis = sylvester @ vectors.T / values.mean() ** 0.5
    assert_close(fitted("phis", rows).affine()[0], torch.from_numpy(phis), rtol=1e-8, atol=1e-8)
