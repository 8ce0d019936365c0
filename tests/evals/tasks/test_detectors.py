"""Detectors against their formulas in float64."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.testing import assert_close

from phis_lab import guards
from phis_lab.evals import Embeddings
from phis_lab.evals.tasks.detectors import Energy, Mahalanobis, NearestNeighbour

pytest.importorskip("pytorch_ood")


def blobs(count: int = 300, seed: int = 0, scale: Tensor | None = None) -> Embeddings:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3 + 5
    mixing = torch.randn(4, 4, generator=torch.Generator().manual_seed(9))
    features = (torch.randn(count, 4, generator=generator) @ mixing + 3 * torch.eye(8, 4)[labels]).double()
    return Embeddings(features * (1 if scale is None else scale), labels)


@pytest.mark.parametrize("k", [1, 4])
def test_the_nearest_neighbour_score_is_the_kth_largest_cosine(k: int) -> None:
    known, x = blobs(), blobs(seed=1).features
    normal = [a / a.norm(dim=1, keepdim=True) for a in (x, known.features)]
    expected = (normal[0] @ normal[1].T).sort(dim=1, descending=True).values[:, k - 1]
    assert_close(NearestNeighbour(k).fit(known)(x).double(), expected, atol=1e-6, rtol=0)


def distances(known: Embeddings, x: Tensor) -> np.ndarray:
    """Half squared distances to the nearest mean under the inverse scatter, in float64."""
    centred, means = [], []
    for label in known.labels.unique():
        members = known.features[known.labels == label].numpy()
        means.append(members.mean(axis=0))
        centred.append(members - means[-1])
    precision = np.linalg.inv(np.concatenate(centred).T @ np.concatenate(centred))
    return np.min([np.einsum("ni,ij,nj->n", x - m, precision, x - m) / 2 for m in means], axis=0)


def test_mahalanobis_is_its_formula() -> None:
    known, x = blobs(), blobs(seed=1).features
    assert_close(
        Mahalanobis().fit(known)(x).double(), -torch.from_numpy(distances(known, x.numpy())), rtol=1e-4, atol=0
    )


def test_mahalanobis_does_not_see_the_scale_of_a_channel_nor_a_constant_one() -> None:
    scale = torch.tensor([1e-3, 1.0, 1e3, 10.0], dtype=torch.float64)
    plain = Mahalanobis().fit(blobs())(blobs(seed=1).features)
    known, x = blobs(scale=scale), blobs(seed=1, scale=scale).features
    known = Embeddings(torch.cat([known.features, torch.full((300, 1), 7.0)], dim=1), known.labels)
    scaled = Mahalanobis().fit(known)(torch.cat([x, torch.full((300, 1), 7.0)], dim=1))
    assert_close(scaled, plain, rtol=1e-3, atol=0)


def test_a_collapsed_student_tells_nothing() -> None:
    known = Embeddings(torch.full((30, 4), 0.3), torch.arange(30) % 3)
    assert Mahalanobis().fit(known)(torch.rand(5, 4)).tolist() == [0] * 5


def test_mahalanobis_refuses_a_covariance_of_too_few_images() -> None:
    with pytest.raises(ValueError, match=r"covariance of 4 directions .* needs more than 6 images; raise train_images"):
        Mahalanobis().fit(blobs(6))


def test_energy_is_the_log_sum_exp_of_the_probe() -> None:
    known, x = blobs(), blobs(seed=1).features
    mean, std = known.features.mean(dim=0), known.features.std(dim=0, correction=0)
    peer = LogisticRegression(C=0.5, tol=1e-8, max_iter=2000).fit((known.features - mean) / std, known.labels)
    expected = 2 * logsumexp(peer.decision_function((x - mean) / std) / 2, axis=1)
    assert_close(Energy(c=0.5, temperature=2.0).fit(known)(x), torch.from_numpy(expected), atol=1e-2, rtol=0)


def test_too_few_images_for_k_are_refused() -> None:
    with pytest.raises(ValueError, match="k must lie between 1 and the 6 training images, got 7"):
        NearestNeighbour(7).fit(blobs(6))(blobs(3).features)


@pytest.mark.parametrize("detector", [Mahalanobis, Energy])
def test_a_missing_library_is_named_at_once(detector: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"needs pytorch_ood, .* pip install 'phis-lab\[ood\]'"):
        detector()
