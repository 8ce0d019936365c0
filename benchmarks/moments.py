"""Streaming moments of 50,000 rows far from zero, against a bare matrix product and what users would take instead."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import IncrementalPCA
from torch.nn.functional import linear

from benchmarks.harness import Comparison, in_turns
from phis_lab.linalg import Moments

ROWS, WIDTHS, CALL_ROWS, STEP_ROWS = 50_000, (768, 1280, 1536), 4096, 1024
Rows = NDArray[np.float32]


def run() -> Iterator[Comparison]:
    """Compare with the cheapest thing that reads every row, with numpy, with scikit-learn, and in a training step."""
    for dim in WIDTHS:
        x = _features(dim)
        yield _against_the_product(x, torch.float32)
        yield _against_the_product(x[:CALL_ROWS], torch.float32)
    yield _against_the_product(x, torch.bfloat16)
    x = _features(WIDTHS[0])
    check = _checked(x, torch.float32)
    peers: tuple[tuple[str, str, Callable[[], object]], ...] = (
        ("`np.cov`", "at most 1", lambda: np.cov(x, rowvar=False)),
        ("scikit-learn `IncrementalPCA`", "at most 1/30", lambda: IncrementalPCA(batch_size=5 * len(x.T)).fit(x)),
    )
    for name, target, peer in peers:
        row = Comparison("moments", f"`Moments.update`, {len(x.T)} wide", name, target, check)
        yield in_turns(row, lambda: Moments(len(x.T)).update(torch.from_numpy(x)), peer)
    yield _between_products(1280)


def _features(dim: int) -> Rows:
    rng = np.random.default_rng(0)
    return rng.standard_normal((ROWS, dim), dtype=np.float32) * rng.uniform(0.5, 2, dim).astype(np.float32) + 100


def _checked(x: Rows, dtype: torch.dtype) -> str:
    rows = torch.from_numpy(x).to(dtype)
    exact = np.cov(rows.double().numpy(), rowvar=False)
    error = float(np.linalg.norm(Moments(len(x.T)).update(rows).covariance.numpy() - exact) / np.linalg.norm(exact))
    assert error < 1e-6, error
    return f"relative error {error:.0e} at mean / std = 100"


def _against_the_product(x: Rows, dtype: torch.dtype) -> Comparison:
    dim, rows = len(x.T), torch.from_numpy(x).to(dtype)
    name = f"`Moments.update`, {len(x):,} x {dim}, {str(dtype).removeprefix('torch.')}"
    row = Comparison("moments", name, "numpy `X.T @ X` in float32", "at most 2", _checked(x, dtype))
    row = in_turns(row, lambda: Moments(dim).update(rows), lambda: x.T @ x)
    row.limit = f"the peer is the limit, {len(x) * dim * dim / 1e9 / min(s for _, s in row.seconds):,.0f} GFLOP/s"
    return row


def _between_products(dim: int) -> Comparison:
    """A step's few rows in float64, with torch's own work before and after, as in training."""
    rows = torch.randn(STEP_ROWS, dim, dtype=torch.float64) + 100
    array = rows.numpy()
    x, weight = torch.randn(STEP_ROWS, dim), torch.randn(dim, dim)
    exact = np.cov(array, rowvar=False)
    error = float(np.abs(Moments(dim).update(rows).covariance.numpy() - exact).max())
    assert error < 1e-11, error

    def step(update: Callable[[], object]) -> None:
        for _ in range(3):
            update()
            for _ in range(4):
                linear(x, weight)

    row = Comparison(
        "moments",
        f"`Moments.update` of {STEP_ROWS} x {dim} float64 rows, then 4 torch products",
        "numpy `X.T @ X` of the same rows, then the same products",
        "at most 1",
        f"absolute error {error:.0e} at variance 1",
    )
    return in_turns(row, lambda: step(lambda: Moments(dim).update(rows)), lambda: step(lambda: array.T @ array))
