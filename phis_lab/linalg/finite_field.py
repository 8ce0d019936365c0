"""The quadratic character of a finite field GF(p^k), which is all that Paley's constructions need of it."""

from itertools import product
from math import isqrt

import torch
from torch import Tensor

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
