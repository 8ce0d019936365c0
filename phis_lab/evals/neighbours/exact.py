"""Cosines in float64, and the largest of them by a rule that breaks ties."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from phis_lab.shapes import Float, Float64, Int64

Result = TypeVar("Result")


def side_by_side(work: Callable[[slice], Result], count: int, device: torch.device) -> list[Result]:
    """Does the same work on every span of rows: as many spans as torch has threads on a CPU, one elsewhere.

    Torch's own threads share each operation and wait for each other at its end, so a chain of small operations
    takes many times longer as soon as another program wants the cores. Whole spans meet only once. Gradients are
    not recorded, and torch's settings for one thread, such as autocast, do not reach the work.

    Args:
        work: is called with a span of the rows, and torch computes it on one thread.
        count: number of rows.
        device: of the data.

    Returns:
        The results, in the order of the rows.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    spans = [slice(count * i // threads, count * (i + 1) // threads) for i in range(threads)]
    if threads == 1:
        return [_without_gradients(work, spans[0])]
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(pool.map(_without_gradients, [work] * threads, spans))
    finally:
        pool.shutdown()
        torch.set_num_threads(threads)


def _without_gradients(work: Callable[[slice], Result], span: slice) -> Result:
    with torch.no_grad():
        return work(span)


_CHUNK_ELEMENTS = {"cpu": 2**24, "cuda": 2**28}


_BLOCK_ELEMENTS = {"cpu": 2**19, "cuda": 2**24}


_SMALLEST_NORM = 1e-12


def chunk_rows(width: int, device: torch.device) -> int:
    """How many rows of similarities, each of this width, are in memory at once; products like multiples of 64."""
    rows = _CHUNK_ELEMENTS.get(device.type, _CHUNK_ELEMENTS["cpu"]) // max(1, width)
    return rows - rows % 64 if rows > 64 else max(1, rows)


def block_rows(features: Tensor) -> int:
    """How many rows of features are in float64 at once; on a CPU they fit into its cache."""
    return max(1, _BLOCK_ELEMENTS.get(features.device.type, _BLOCK_ELEMENTS["cpu"]) // max(1, features.shape[1]))


def inverse_norms(x: Float64[Tensor, "rows dim"]) -> Float64[Tensor, " rows"]:
    """What makes unit vectors of the rows; zeros stay zeros."""
    norms: Tensor = torch.linalg.vector_norm(x, dim=1)
    return norms.clamp_min(_SMALLEST_NORM).reciprocal()


def unit_rows(x: Float[Tensor, "rows dim"]) -> Float64[Tensor, "rows dim"]:
    """The rows, divided by their norms."""
    x = x.double()
    return x * inverse_norms(x)[:, None]


def cosines_of_pairs(
    queries: Float64[Tensor, "queries dim"],
    train: Float[Tensor, "train dim"],
    scale: Float64[Tensor, " train"],
    query: Int64[Tensor, " pairs"],
    index: Int64[Tensor, " pairs"],
) -> Float[Tensor, " pairs"]:
    """The cosines of chosen pairs, in float64 and then rounded to float32.

    Args:
        queries: unit rows.
        train: features, in any scale.
        scale: their inverse norms.
        query: row of `queries`.
        index: row of `train`.
    """
    rows = block_rows(train)
    products = [
        train.index_select(0, j).double().mul_(queries.index_select(0, i)).sum(1)
        for i, j in zip(query.split(rows), index.split(rows), strict=True)
    ]
    return (torch.cat(products) * scale[index]).float()


def nearest_by_brute_force(
    train: Float[Tensor, "train dim"], test: Float[Tensor, "test dim"], k: int
) -> tuple[Float[Tensor, "test k"], Int64[Tensor, "test k"]]:
    """The k largest cosines of each test row, by comparing it with all training rows."""

    def of_span(span: slice) -> tuple[Tensor, Tensor]:
        chunks = [_compare(train, chunk, k) for chunk in test[span].split(chunk_rows(len(train), test.device))]
        near, where = zip(*chunks, strict=True)
        return torch.cat(near), torch.cat(where)

    near, where = zip(*side_by_side(of_span, len(test), test.device), strict=True)
    return torch.cat(near), torch.cat(where)


def _compare(train: Tensor, test: Tensor, k: int) -> tuple[Tensor, Tensor]:
    queries, step = unit_rows(test), block_rows(train)
    cosines = torch.empty(len(test), len(train), device=test.device)
    for block, place in zip(train.split(step), cosines.split(step, dim=1), strict=True):
        place.copy_(queries @ unit_rows(block).T)
    return first_largest(cosines, torch.arange(len(train), device=test.device).expand_as(cosines), k)


def first_largest(
    value: Float[Tensor, "rows n"], index: Int64[Tensor, "rows n"], k: int
) -> tuple[Float[Tensor, "rows k"], Int64[Tensor, "rows k"]]:
    """The k largest values of each row in descending order, of equal ones the leftmost, with their indices."""
    largest, place = value.topk(k, dim=1)
    least = largest[:, -1:]
    shared = (value >= least).sum(1) > k
    if shared.any():
        x, least = value[shared], least[shared]
        above, equal = x > least, x == least
        above |= equal & (equal.cumsum(1) <= k - above.sum(1, keepdim=True))
        place[shared] = above.nonzero()[:, 1].view(-1, k)
    place = place.sort(dim=1).values
    largest, order = value.gather(1, place).sort(dim=1, descending=True, stable=True)
    return largest, index.gather(1, place.gather(1, order))
