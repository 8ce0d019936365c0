"""From moments to a fitted normaliser, against the plain formula in numpy and scipy, and scikit-learn's whitening."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import Comparison, in_turns
from phis_lab.linalg import Moments, hadamard_rotation
from phis_lab.normalizers import MatrixNormalizer, Normalizer, PCAWhiten, PhiS, Standardize, ZCAWhiten

WIDTHS = (768, 1280, 1536)
SKLEARN_ROWS = 20_000
Maps = tuple[Any, Any]


def run() -> Iterator[Comparison]:
    """Both sides give the map and its inverse; scikit-learn starts from features, and so do we beside it."""
    for dim in WIDTHS:
        moments = _moments(dim)
        covariance = moments.covariance.numpy()
        rotation = hadamard_rotation(dim).numpy()
        yield _fitted(PhiS(dim), moments, "scipy `eigh` and the formula", lambda c=covariance, h=rotation: _phis(c, h))
        yield _fitted(ZCAWhiten(dim), moments, "numpy `eigh` and the formula", lambda c=covariance: _zca(c))
        yield _from_features(dim, Standardize, StandardScaler())
    yield _from_features(WIDTHS[0], PCAWhiten, PCA(whiten=True, svd_solver="covariance_eigh"))


def _moments(dim: int) -> Moments:
    generator = torch.Generator().manual_seed(0)
    spread = torch.linspace(0, -4, dim).exp()
    return Moments(dim).update(torch.randn(4 * dim, dim, generator=generator) * spread + 1)


def _phis(covariance: Any, rotation: Any) -> Maps:
    values, vectors = scipy.linalg.eigh(covariance)
    phi = np.sqrt(values.mean())
    return rotation @ vectors.T / phi, phi * vectors @ rotation.T


def _zca(covariance: Any) -> Maps:
    values, vectors = np.linalg.eigh(covariance)
    return vectors / np.sqrt(values) @ vectors.T, vectors * np.sqrt(values) @ vectors.T


def _fitted(method: MatrixNormalizer, moments: Moments, peer: str, formula: Callable[[], Maps]) -> Comparison:
    """Whitened or evened out alike: both maps give the covariance that the method promises."""
    state, covariance = moments.state_dict(), moments.covariance

    def fit() -> MatrixNormalizer:
        moments.load_state_dict(state)  # forgets the eigenvectors
        return method.fit(moments)

    def error(weight: torch.Tensor, inverse: torch.Tensor) -> float:
        one = torch.ones(len(weight), dtype=torch.float64)
        variances = (weight @ covariance @ weight.T).diagonal()
        return max(float((variances - one).abs().max()), float((weight @ inverse - one.diag()).abs().max()))

    ours = error(fit().weight, method.inverse_weight)
    theirs = error(*(torch.from_numpy(matrix) for matrix in formula()))
    assert max(ours, theirs) < 1e-9, (ours, theirs)
    name = f"`{type(method).__name__}.fit`, {len(covariance)} wide"
    check = f"variances and inverse right to {ours:.0e}, the peer's to {theirs:.0e}"
    row = in_turns(Comparison("transform", name, peer, "at most 1.2", check), fit, formula)
    alone = in_turns(Comparison("", "", "", "", ""), lambda: np.linalg.eigh(covariance.numpy()), lambda: None, pairs=2)
    ratio = min(ours for ours, _ in row.seconds) / min(eigh for eigh, _ in alone.seconds)
    row.limit = f"numpy's `eigh` alone: ours takes {ratio:.2f} of it"
    return row


def _from_features(dim: int, family: type[Standardize] | type[PCAWhiten], peer: Any) -> Comparison:
    """Moments included, because scikit-learn starts from features."""
    rows = torch.randn(SKLEARN_ROWS, dim, generator=torch.Generator().manual_seed(0)) * torch.linspace(0, -2, dim).exp()

    def ours() -> Normalizer:
        moments = Moments(dim, diagonal=not family.needs_covariance)
        return family(dim).fit(moments.update(rows))

    theirs = torch.from_numpy(peer.fit(rows.numpy()).transform(rows.numpy()))
    difference = float((ours()(rows).abs() - theirs.abs()).abs().max())
    assert difference < 0.05, difference
    name = f"`Moments.update` and `{family.__name__}.fit`, {SKLEARN_ROWS} x {dim}"
    check = f"normalised features differ by at most {difference:.0e} in size"
    row = Comparison("transform", name, f"scikit-learn `{peer}`, in float32", "at most 1.2", check)
    return in_turns(row, ours, lambda: peer.fit(rows.numpy()))
