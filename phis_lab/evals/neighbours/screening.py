"""Which training rows can be among the nearest: a cheap product that never falls below the true similarity."""

from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.evals.neighbours.exact import inverse_norms, side_by_side
from phis_lab.shapes import Bool, Float, Float64, Int64


def above(x: Float[Tensor, " n"], dtype: torch.dtype) -> Float[Tensor, " n"]:
    """Positive numbers, rounded and not smaller than before."""
    return (x * (1 + torch.finfo(dtype).eps)).to(dtype)


def pieces(x: Float[Tensor, " n"], dtype: torch.dtype) -> Float[Tensor, "n 3"]:
    """Three numbers of low precision with the sum x: 24 bits of it in bfloat16."""
    parts = []
    for _ in range(3):
        parts.append(x.to(dtype))
        x = x - parts[-1]
    return torch.stack(parts, dim=1)


def maxima_of_positive(x: Float[Tensor, "rows depth columns"]) -> Float[Tensor, "rows columns"]:
    """The maxima over the depth where they are positive, and elsewhere one of the numbers, none of them positive.

    Positive floating-point numbers are in the order of their bits, and all negative ones are below them as signed
    integers too. The maximum of integers takes a third of the time of that of bfloat16.
    """
    bits = torch.int16 if x.element_size() == 2 else torch.int32
    return x.view(bits).amax(1).view(x.dtype)


DEPTH = 32


_ADDITION_ERROR = 2**-22


_ROUNDING = 2**-22


_CENTRE_ROWS = 512


class Candidates(NamedTuple):
    """Pairs that can be among the k nearest, in the order of the queries and then of the training rows.

    Attributes:
        query: row of the query.
        train: row of the training set.
        crowded: queries with so many candidates that it is cheaper to compare all rows; they have no pairs.
    """

    query: Int64[Tensor, " pairs"]
    train: Int64[Tensor, " pairs"]
    crowded: Bool[Tensor, " queries"]


class _Distances(NamedTuple):
    """Of unit rows u, a centre m and the rounded r: (u - m).m, |u - m| and |u - m - r|."""

    along: Float64[Tensor, " rows"]
    radius: Float64[Tensor, " rows"]
    error: Float64[Tensor, " rows"]


class Screen:
    """Finds the few training rows that can be among the k nearest of a query, by one product in low precision.

    For unit vectors q and t and any centre m, the cosine of q and t is q.m + (q - m).(t - m) + m.(t - m), where
    the first term is the same for all t. By Cauchy and Schwarz the product of the rounded vectors q' and t'
    misses the second by at most |q - m - q'| |t - m| + |q'| |t - m - t'|, a number of the query times a number
    of the training row. So this bound is one more column of both factors; the third term, in three pieces that
    keep 24 bits, is three more, and the error of adding it up a last one: the product itself is an upper bound
    of the similarity. It is close where both are near m, so features with a large common part are screened as
    sharply as centred ones.

    A training row is a candidate where its upper bound reaches the k-th largest lower bound. This is looked up
    among the maxima of blocks of 32 rows; row i belongs to block i modulo the number of blocks, so that sorted
    data spreads over all of them.

    Args:
        train: features, in any scale.
        dtype: of the product.
        block_rows: rows that are rounded at once.

    Attributes:
        scale: the inverse norms of the training rows.
        rows: how many they are, filled up to whole blocks by rows that are nobody's candidates.
    """

    def __init__(self, train: Float[Tensor, "rows dim"], dtype: torch.dtype, block_rows: int) -> None:
        count, dim = train.shape
        self.dtype, self.blocks, self.limit = dtype, -(-count // DEPTH), max(1, count // 64)
        self.rows = DEPTH * self.blocks
        sample = train[:: 1 + count // _CENTRE_ROWS].double()
        self.centre = (sample * inverse_norms(sample)[:, None]).mean(0)
        self.scale = torch.empty(count, dtype=torch.float64, device=train.device)
        self.factor = torch.zeros(self.rows, dim + 5, dtype=dtype, device=train.device)
        self.factor[count:, dim] = -torch.inf
        side_by_side(lambda span: self._fill(train, span, block_rows), count, train.device)
        self.widest = self.factor[:, -2:].view(DEPTH, self.blocks, 2).amax(0).float()

    def _fill(self, train: Tensor, span: slice, block_rows: int) -> None:
        blocks = (rows[span].split(block_rows) for rows in (train, self.scale, self.factor))
        for x, scale, factor in zip(*blocks, strict=True):
            x = x.double()  # noqa: PLW2901
            scale.copy_(inverse_norms(x))
            distances = self._round(x, scale, out=factor[:, :-5])
            factor[:, -5:-2] = pieces(distances.along, self.dtype)
            factor[:, -2] = above(torch.maximum(distances.error, distances.radius / self._per_error), self.dtype)
            factor[:, -1] = above(self._addition * distances.along.abs(), self.dtype)

    def candidates(
        self, queries: Float64[Tensor, "queries dim"], k: int, floor: Float[Tensor, " queries"], memory: Tensor
    ) -> Candidates:
        """Finds the training rows that can be among the k nearest and at least as near as `floor`.

        Args:
            queries: unit rows.
            k: at most the number of blocks.
            floor: similarity below which no row is wanted.
            memory: for the product, queries x rows.
        """
        left = torch.ones(len(queries), self.factor.shape[1], dtype=self.dtype, device=queries.device)
        distances = self._round(queries, queries.new_ones(len(queries)), out=left[:, :-5])
        left[:, -2] = above(self._width(distances), self.dtype)
        bound = torch.mm(left, self.factor.T, out=memory).view(len(queries), DEPTH, self.blocks)
        common = distances.along + self.centre.square().sum()
        least = (floor - common).float()[:, None]
        largest = maxima_of_positive(bound)
        reached = torch.maximum(self._kth_largest(largest, left, k), least)
        if (reached <= _ROUNDING).any():
            largest = bound.amax(1)
            reached = torch.maximum(self._kth_largest(largest, left, k), least)
        return self._reaching(bound, largest, (reached - _ROUNDING).to(self.dtype))

    def _kth_largest(self, largest: Tensor, left: Tensor, k: int) -> Tensor:
        """What the k-th largest similarity of each query is not below."""
        lower = largest.float()
        rounding = 0.51 * torch.finfo(self.dtype).eps + 2**-21
        lower = lower - rounding * lower.abs() - 2 * left[:, -2:].float() @ self.widest.T
        return lower.topk(k, dim=1).values[:, -1:]

    @property
    def _per_error(self) -> float:
        """A typical |u - m| / |u - m - r|."""
        return 5 / torch.finfo(self.dtype).eps

    @property
    def _addition(self) -> float:
        """What the additions of one product may lose, relative to the sum of the absolute terms."""
        return _ADDITION_ERROR * self.factor.shape[1]

    def _width(self, query: _Distances) -> Float64[Tensor, " queries"]:
        """The query's part of the bound, 2 % wider for the roundings of the bound itself."""
        per_radius = query.error + self._addition * (query.radius + query.error)
        return 1.02 * (self._per_error * per_radius + query.radius + query.error)

    def _round(self, x: Tensor, scale: Tensor, out: Tensor) -> _Distances:
        centred = torch.addcmul(-self.centre, x, scale[:, None])
        out.copy_(centred)
        along, radius = centred @ self.centre, torch.linalg.vector_norm(centred, dim=1)
        return _Distances(along, radius, error=torch.linalg.vector_norm(centred.sub_(out), dim=1))

    def _reaching(self, bound: Tensor, largest: Tensor, least: Tensor) -> Candidates:
        reached = largest >= least
        crowded = reached.sum(1) > self.limit
        reached[crowded] = False
        query, block = reached.nonzero().unbind(1)
        inside = bound.transpose(1, 2)[query, block]
        which, layer = (inside >= least[query]).nonzero().unbind(1)
        pair = (query[which] * self.rows + layer * self.blocks + block[which]).sort().values
        return Candidates(pair // self.rows, pair % self.rows, crowded)
