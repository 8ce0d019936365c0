"""Neighbours of 2,000 among 50,000 rows of 768, k = 20, against torch, scikit-learn and faiss on normalised rows."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.harness import Comparison, in_turns, peer_module
from phis_lab.evals import knn_predict, nearest_neighbours
from phis_lab.precision import has_bfloat16

TRAIN, TEST, DIM, K = 50_000, 2_000, 768, 20
CHECKED = 200
CLASSES, TEMPERATURE = 100, 0.07


def run() -> Iterator[Comparison]:
    """Ours takes raw features; the peers get theirs normalised beforehand, and faiss its index built."""
    for mean in (10, 0):
        train, test = _features(mean)
        a, b = normalize(test), normalize(train)
        by_torch = functools.partial(_by_torch, b, a)
        yield _compared(train, test, mean, "torch `mm` and `topk`", "at most 0.5", by_torch)
    brute = NearestNeighbors(n_neighbors=K, metric="cosine", algorithm="brute").fit(b.numpy())

    def scikit_learn() -> Tensor:
        return torch.from_numpy(brute.kneighbors(a.numpy(), return_distance=False))

    yield _compared(train, test, mean, "scikit-learn `NearestNeighbors`, cosine", "at most 0.5", scikit_learn)
    yield _compared(train, test, mean, "`faiss.IndexFlatIP`", "at most 1/3", _faiss(b, a))
    yield _predicted(train, test)


def _features(mean: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.randn(rows, DIM, generator=generator) for rows in (TRAIN, TEST))
    return train + mean, test + mean


def _by_torch(train: Tensor, test: Tensor) -> Tensor:
    return (test @ train.T).topk(K)[1]


def _faiss(train: Tensor, test: Tensor) -> Callable[[], Tensor]:
    faiss: Any = peer_module("faiss")
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(DIM)
    index.add(train.numpy())
    return lambda: torch.from_numpy(index.search(test.numpy(), K)[1])


def _compared(
    train: Tensor, test: Tensor, mean: float, peer_name: str, target: str, peer: Callable[[], Tensor]
) -> Comparison:
    def ours() -> Tensor:
        return nearest_neighbours(train, test, K)[1]

    found = ours()
    cosines = (normalize(test[:CHECKED].double()) @ normalize(train.double()).T).float()
    exact = cosines.sort(dim=1, descending=True, stable=True)[1][:, :K]
    assert torch.equal(found[:CHECKED], exact), "the neighbours differ from those of brute force in float64"
    agreement = 100 * (found.sort(dim=1)[0] == peer().sort(dim=1)[0]).all(dim=1).double().mean().item()
    check = (
        f"{CHECKED} rows equal to brute force in float64; the peer finds the same set in {agreement:.1f} % of all rows"
    )
    name = f"`nearest_neighbours`, mean / std = {mean}"
    row = in_turns(Comparison("knn", name, peer_name, target, check), ours, peer)
    row.limit = _limit(train, test, min(seconds for seconds, _ in row.seconds))
    return row


def _predicted(train: Tensor, test: Tensor) -> Comparison:
    """What users call: from raw features to classes."""
    labels = torch.arange(TRAIN) % CLASSES
    votes = functools.partial(_votes_by_torch, train, labels, test)
    ours = knn_predict(train, labels, test, K)
    agreement = 100 * (ours == votes()).double().mean().item()
    check = f"the peer predicts the same class of {agreement:.1f} % of the rows"
    row = Comparison(
        "knn", f"`knn_predict`, {CLASSES} classes", "the same in torch, normalisation included", "at most 1", check
    )
    return in_turns(row, lambda: knn_predict(train, labels, test, K), votes)


def _votes_by_torch(train: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    similarity, index = (normalize(test) @ normalize(train).T).topk(K)
    votes = torch.zeros(len(test), CLASSES)
    return votes.scatter_add_(1, labels[index], (similarity / TEMPERATURE).exp()).argmax(dim=1)


def _limit(train: Tensor, test: Tensor, seconds: float) -> str:
    """The product alone, in the precision that is fastest here."""
    dtypes = (torch.bfloat16, torch.float32) if has_bfloat16("cpu") else (torch.float32,)
    products = {dtype: _seconds_of_product(test.to(dtype), train.to(dtype)) for dtype in dtypes}
    dtype = min(products, key=products.__getitem__)
    return f"the {str(dtype).removeprefix('torch.')} product alone: {seconds / products[dtype]:.1f} of it"


def _seconds_of_product(a: Tensor, b: Tensor) -> float:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        a @ b.T
        seconds.append(time.perf_counter() - started)
    return min(seconds)
