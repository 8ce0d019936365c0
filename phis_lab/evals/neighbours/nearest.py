"""The nearest training images by cosine: as exact as brute force in float64, at the speed of low precision."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from phis_lab.evals.neighbours.exact import (
    block_rows,
    chunk_rows,
    cosines_of_pairs,
    first_largest,
    nearest_by_brute_force,
    side_by_side,
    unit_rows,
)
from phis_lab.evals.neighbours.screening import Candidates, Screen
from phis_lab.guards import require_tensors, whole
from phis_lab.precision import full_float32, has_bfloat16
from phis_lab.shapes import Float, Int64

_TILE_ROWS = 2**16


_SCREENED_ROWS = 256


@torch.inference_mode(False)
def nearest_neighbours(
    train_x: Float[Tensor, "train dim"], test_x: Float[Tensor, "test dim"], k: int
) -> tuple[Float[Tensor, "test k"], Int64[Tensor, "test k"]]:
    """Finds the k training images of largest cosine for each test image, the nearest first.

    The answer is that of brute force: cosines are computed in float64 and rounded to float32, and of equal ones
    the first in `train_x` counts. The way is shorter: a product in low precision, bfloat16 where the hardware
    multiplies it, bounds all similarities from above (see `Screen`), and only the few pairs whose bound is large
    enough are computed exactly. Where they are not few, as among many duplicates, it is brute force after all.

    Both sets are walked in pieces, so the memory beside the answer is constant, and all of it is on the device
    of the features.

    Args:
        train_x: features, in any scale; a row of zeros has cosine 0 with everything.
        test_x: features whose neighbours are wanted, on the same device.
        k: number of neighbours.

    Returns:
        The cosines in float32, and the rows of `train_x`.

    Raises:
        ValueError: fewer training images than `k`, dimensions that do not agree, or NaN in the features.

    Example:
        >>> similarity, index = nearest_neighbours(torch.eye(2), torch.tensor([[0.6, 0.8]]), k=1)
        >>> similarity.tolist(), index.tolist()
        ([[0.800000011920929]], [[1]])
    """
    _check(train_x, test_x, k)
    similarity = torch.full((len(test_x), k), -torch.inf, device=test_x.device)
    index = torch.zeros(len(test_x), k, dtype=torch.int64, device=test_x.device)
    first = 0
    with torch.no_grad(), _full_sums(test_x.device.type):
        for tile in train_x.tensor_split(-(-len(train_x) // _TILE_ROWS)):
            near, where = _nearest_of_tile(tile, test_x, min(k, len(tile)), similarity[:, -1])
            both = torch.cat([similarity, near], dim=1), torch.cat([index, where + first], dim=1)
            similarity, index = first_largest(*both, k)
            first += len(tile)
    return similarity, index


def _nearest_of_tile(tile: Tensor, test: Tensor, k: int, floor: Tensor) -> tuple[Tensor, Tensor]:
    """The k nearest rows of a tile; those that are not nearer than `floor` may be missing, with cosine -inf."""
    if len(tile) < _SCREENED_ROWS * k:
        return nearest_by_brute_force(tile, test, k)
    screen = Screen(tile, _product_dtype(tile.device.type), block_rows(tile))
    parts = side_by_side(lambda span: _screened(screen, tile, test[span], k, floor[span]), len(test), test.device)
    similarity, index, crowded = map(torch.cat, zip(*parts, strict=True))
    if crowded.any():
        similarity[crowded], index[crowded] = nearest_by_brute_force(tile, test[crowded], k)
    return similarity, index


def _screened(screen: Screen, tile: Tensor, test: Tensor, k: int, floor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for all test rows but those that are crowded, and which ones are."""
    rows = chunk_rows(screen.rows, tile.device)
    memory = torch.empty(min(rows, len(test)), screen.rows, dtype=screen.dtype, device=tile.device)
    near, where, crowded = [], [], []
    for chunk, least in zip(test.split(rows), floor.split(rows), strict=True):
        queries = unit_rows(chunk)
        found = screen.candidates(queries, k, least, memory[: len(chunk)])
        cosines = cosines_of_pairs(queries, tile, screen.scale, found.query, found.train)
        similarity, index = first_largest(*_one_row_a_query(found, cosines, k), k)
        near.append(similarity)
        where.append(index)
        crowded.append(found.crowded)
    return torch.cat(near), torch.cat(where), torch.cat(crowded)


def _one_row_a_query(pairs: Candidates, cosines: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Lays the candidates of each query side by side, at least k places; an empty one has cosine -inf."""
    count = pairs.query.bincount(minlength=len(pairs.crowded))
    place = torch.arange(len(cosines), device=cosines.device) - (count.cumsum(0) - count)[pairs.query]
    shape = len(count), max(k, int(count.max()) if len(count) else 0)
    similarity = torch.full(shape, -torch.inf, device=cosines.device)
    index = torch.zeros(shape, dtype=torch.int64, device=cosines.device)
    similarity[pairs.query, place] = cosines
    index[pairs.query, place] = pairs.train
    return similarity, index


def _product_dtype(device: str) -> torch.dtype:
    return torch.bfloat16 if has_bfloat16(device) else torch.float32


@contextmanager
def _full_sums(device: str) -> Iterator[None]:
    """Products add up in float32 at least: no autocast, no TF32, no partial sums in bfloat16."""
    options = torch.backends.cuda.matmul
    reduced = options.allow_bf16_reduced_precision_reduction
    if reduced:
        options.allow_bf16_reduced_precision_reduction = False
    try:
        with torch.autocast(device, enabled=False), full_float32():
            yield
    finally:
        if reduced:
            options.allow_bf16_reduced_precision_reduction = True


def _check(train_x: Tensor, test_x: Tensor, k: int) -> None:
    require_tensors(train_x=train_x, test_x=test_x)
    if not 1 <= whole("k", k) <= len(train_x):
        raise ValueError(f"k must lie between 1 and the {len(train_x)} training images, got {k}")
    if not train_x.ndim == test_x.ndim == 2 or train_x.shape[1] != test_x.shape[1]:
        raise ValueError(f"sizes do not agree: train_x {tuple(train_x.shape)}, test_x {tuple(test_x.shape)}")
    for name, x in (("train_x", train_x), ("test_x", test_x)):
        if not x.sum().isfinite() and not x.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity; look at the features before they are compared")
