"""Exact Hadamard matrices: Sylvester's, Paley's two over prime powers, and all their Kronecker products."""

from functools import cache, reduce

import torch
from torch import Tensor

from phis_lab.guards import whole
from phis_lab.linalg.finite_field import jacobsthal_matrix, prime_power
from phis_lab.shapes import Int8


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
