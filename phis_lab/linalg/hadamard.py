"""Exact Hadamard matrices: Sylvester's, Paley's two over prime powers, and all their Kronecker products."""

from functools import cache, reduce
from itertools import product
from math import isqrt

import torch
from torch import Tensor

from phis_lab.guards import whole
from phis_lab.shapes import Int8


def prime_power(q: int) -> tuple[int, int] | None:
    """Writes q as (p, k) with q = p^k and p prime; None where q is no prime power."""
    if q < 2:
        return None
    p = next((d for d in range(2, isqrt(q) + 1) if q % d == 0), q)
    k = 0
    while q % p == 0:
        q, k = q // p, k + 1
    return (p, k) if q == 1 else None


def jacobsthal_matrix(p: int, k: int) -> Int8[Tensor, "q q"]:
    """Q[a, b] = chi(b - a) over GF(p^k), p odd: 1 where b - a is a square, -1 where it is none, 0 at a = b.

    Q Q^T = q I - J, which is what makes Paley's matrices orthogonal. Elements are numbered by their digits
    in base p, so a difference is digit-wise and each axis of chi becomes a circulant pair of axes.
    """
    table = quadratic_character(p, k)
    for axis in range(k):
        table = torch.cat((table, table), axis).unfold(axis, p, 1).narrow(axis, 1, p)
    return table.flip(tuple(range(k))).reshape(p**k, p**k)


def quadratic_character(p: int, k: int) -> Int8[Tensor, "..."]:
    """The table of chi on GF(p^k), k axes of length p: powers of a primitive element alternate in sign."""
    powers = torch.tensor(_primitive_powers(p, k))
    signs = torch.ones(len(powers), dtype=torch.int8)
    signs[1::2] = -1
    chi = torch.zeros((p,) * k, dtype=torch.int8)
    chi[tuple(powers.T)] = signs
    return chi


def _primitive_powers(p: int, k: int) -> list[tuple[int, ...]]:
    """All powers of x modulo the first monic polynomial whose root x generates the field."""
    for tail in product(range(p), repeat=k):
        if tail[0] and len(powers := _powers_of_x(p, tail)) == p**k - 1:
            return powers
    raise AssertionError(f"GF({p}^{k}) has a primitive element")


def _powers_of_x(p: int, tail: tuple[int, ...]) -> list[tuple[int, ...]]:
    """1, x, x^2, ... until 1 returns, with x^k = tail[0] + tail[1] x + ... and coefficients modulo p."""
    one = (1,) + (0,) * (len(tail) - 1)
    powers = [one]
    while (power := _times_x(powers[-1], p, tail)) != one:
        powers.append(power)
    return powers


def _times_x(element: tuple[int, ...], p: int, tail: tuple[int, ...]) -> tuple[int, ...]:
    *lower, top = element
    return tuple((low + top * t) % p for low, t in zip((0, *lower), tail, strict=True))


def hadamard_matrix(order: int, dtype: torch.dtype = torch.int8) -> Tensor:
    """A matrix of +1 and -1 with H H^T = order * I, always the same one for an order.

    Among several constructions the one with the largest Sylvester factor is taken, then the one with the
    largest Paley factors: 768 is Sylvester(64) x Paley(12). PHI-S, A.1.1, gives Sylvester(2) x Paley(384);
    any H serves.

    Args:
        order: side of the matrix. 1, 2 or a multiple of 4; 372 of the 512 multiples of 4 up to 2048 are
            known here.
        dtype: signed type of the entries, which are exact in any of them.

    Raises:
        ValueError: no construction is known here; the message names the nearest orders that have one.

    Source:
        Sylvester 1867; Paley, "On orthogonal matrices", 1933; PHI-S, eq. 18 and A.1.1.

    Example:
        >>> hadamard_matrix(4).tolist()
        [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]
    """
    plan = _plan(whole("order", order))
    if plan is None:
        raise ValueError(_unknown(order))
    _, paleys = plan
    core = reduce(torch.kron, map(_paley, paleys), torch.ones(1, 1, dtype=torch.int8))
    return _doubled(core, order).to(dtype)


def is_hadamard_order(order: int) -> bool:
    """Says whether `hadamard_matrix` can build this order, without building it.

    Example:
        >>> [order for order in range(1, 30) if is_hadamard_order(order)]
        [1, 2, 4, 8, 12, 16, 20, 24, 28]
    """
    return _plan(whole("order", order)) is not None


@cache
def _plan(order: int) -> tuple[int, tuple[int, ...]] | None:
    """The orders of the factors: one power of two for Sylvester and the Paley matrices, largest first."""
    if order < 1:
        return None
    power = order & -order
    while power:
        paleys = _paley_product(order // power, order)
        if paleys is not None:
            return power, paleys
        power //= 2
    return None


def _paley_product(order: int, largest: int) -> tuple[int, ...] | None:
    """Writes order as a product of Paley orders that descend from `largest`; None where there is none."""
    if order == 1:
        return ()
    for factor in range(min(order, largest) // 4 * 4, 0, -4):
        if order % factor == 0 and _is_paley_order(factor):
            rest = _paley_product(order // factor, factor)
            if rest is not None:
                return (factor, *rest)
    return None


def _is_paley_order(order: int) -> bool:
    return _is_first_kind(order) or _is_second_kind(order)


def _is_first_kind(order: int) -> bool:
    return order % 4 == 0 and prime_power(order - 1) is not None


def _is_second_kind(order: int) -> bool:
    return order % 4 == 0 and (order // 2 - 1) % 4 == 1 and prime_power(order // 2 - 1) is not None


def _doubled(core: Int8[Tensor, "core core"], order: int) -> Int8[Tensor, "order order"]:
    """Sylvester's matrix x core: M becomes [[M, M], [M, -M]] until the order is reached, all in one memory."""
    matrix = core.new_empty(order, order)
    size = len(core)
    matrix[:size, :size] = core
    while size < order:
        corner, beyond = matrix[:size, :size], slice(size, 2 * size)
        matrix[:size, beyond] = matrix[beyond, :size] = corner
        torch.neg(corner, out=matrix[beyond, beyond])
        size *= 2
    return matrix


def _paley(order: int) -> Int8[Tensor, "order order"]:
    """I + S with q = order - 1, or S x [[1, 1], [1, -1]] + I x [[1, -1], [-1, -1]] with q = order / 2 - 1.

    S borders the Jacobsthal matrix by ones: it is skew in the first kind, symmetric in the second, and
    S S^T = q I.
    """
    if _is_first_kind(order):
        return _conference(order, first_column=-1) + torch.eye(order, dtype=torch.int8)
    off_diagonal = torch.tensor([[1, 1], [1, -1]], dtype=torch.int8)
    diagonal = torch.tensor([[1, -1], [-1, -1]], dtype=torch.int8)
    half = order // 2
    identity = torch.eye(half, dtype=torch.int8)
    return torch.kron(_conference(half, first_column=1), off_diagonal) + torch.kron(identity, diagonal)


def _conference(order: int, first_column: int) -> Int8[Tensor, "order order"]:
    field = prime_power(order - 1)
    assert field is not None
    conference = torch.zeros(order, order, dtype=torch.int8)
    conference[0, 1:] = 1
    conference[1:, 0] = first_column
    conference[1:, 1:] = jacobsthal_matrix(*field)
    return conference


def _unknown(order: int) -> str:
    if order < 1:
        return f"a Hadamard matrix has a positive order, got {order}"
    below, above = order - 1, order + 1
    while not is_hadamard_order(below):
        below -= 1
    while not is_hadamard_order(above):
        above += 1
    return (
        f"no Hadamard matrix of order {order} comes from Sylvester's, Paley's and Kronecker's constructions; the "
        f"nearest orders that have one are {below} and {above}"
    )
