"""Streaming moments of 50,000 x 768 float32 rows against a bare matrix product and scikit-learn's incremental PCA."""

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.decomposition import IncrementalPCA

from benchmarks.harness import Comparison, in_turns
from phis_lab.linalg import Moments

ROWS, DIM = 50_000, 768


def run() -> Iterator[Comparison]:
    """Compare with the cheapest thing that reads every row, and with the estimator that users would take."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((ROWS, DIM)) * rng.uniform(0.5, 2, DIM) + 100).astype(np.float32)
    tensor = torch.from_numpy(x)

    def moments() -> Moments:
        return Moments(DIM).update(tensor)

    exact = np.cov(x.astype(np.float64), rowvar=False)
    error = float(np.linalg.norm(moments().covariance.numpy() - exact) / np.linalg.norm(exact))
    assert error < 1e-6, error
    check = f"relative error {error:.0e} at mean / std = 100"
    yield in_turns(
        Comparison("moments", "`Moments.update`", "numpy `X.T @ X`", "at most 2", check),
        moments,
        lambda: x.T @ x,
    )
    pca = IncrementalPCA(n_components=DIM, batch_size=5 * DIM)
    peer = Comparison("moments", "`Moments.update`", "scikit-learn `IncrementalPCA`", "at most 1/30", check)
    yield in_turns(peer, moments, lambda: pca.fit(x))
