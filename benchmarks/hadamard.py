"""Hadamard matrices of the widths of vision models, against scipy, plain numpy, and the rotation of a random QR."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg
import torch

from benchmarks.harness import Comparison, in_turns
from phis_lab.linalg import hadamard_matrix, random_rotation

POWERS = (1024, 4096, 8192)
FACTORS = {
    384: (32, 11), 768: (64, 11), 1152: (96, 11), 1280: (64, 19), 1408: (32, 43), 1536: (128, 11), 3072: (256, 11),
}  # fmt: skip
QR_ORDERS = (768, 1280)


def run() -> Iterator[Comparison]:
    """Exactness first: H H^T = n I in integers."""
    for order in sorted((*POWERS, *FACTORS)):
        yield _built(order)
    for order in QR_ORDERS:
        row = Comparison(
            "hadamard",
            f"`hadamard_matrix({order})`",
            f"QR of a random {order} x {order} matrix",
            "at most 0.1",
            "both orthogonal; only ours has entries of one size",
        )
        yield in_turns(row, lambda n=order: hadamard_matrix(n), lambda n=order: random_rotation(n, 0))


def _built(order: int) -> Comparison:
    name, peer = _peer(order)
    for matrix in (hadamard_matrix(order).numpy(), peer()):
        real = matrix.astype(np.float32)  # sums of +-1 are exact in float32
        assert np.abs(matrix).min() == np.abs(matrix).max() == 1
        assert np.array_equal(real @ real.T, order * np.eye(order, dtype=np.float32))
    check = "H H^T = n I exactly, both"
    row = in_turns(
        Comparison("hadamard", f"`hadamard_matrix({order})`", name, "at most 1", check),
        lambda: hadamard_matrix(order),
        peer,
    )
    memory = torch.empty(order, order, dtype=torch.int8)
    fill = in_turns(Comparison("", "", "", "", ""), lambda: memory.fill_(1), lambda: None)
    ratio = min(ours for ours, _ in row.seconds) / min(filled for filled, _ in fill.seconds)
    row.limit = f"filling n x n bytes: ours takes {ratio:.1f} of it"
    return row


def _peer(order: int) -> tuple[str, Callable[[], Any]]:
    if order in POWERS:
        return "`scipy.linalg.hadamard`, int8", lambda: scipy.linalg.hadamard(order, dtype=np.int8)
    rest, prime = FACTORS[order]
    return f"numpy `kron` of {rest} and Paley {prime + 1}", lambda: np.kron(_factor(rest), _paley(prime))


def _factor(order: int) -> Any:
    """Sylvester's matrix, or its product with Paley's of order 12."""
    odd = order % 12 == 0
    return np.kron(_factor(order // 12), _paley(11)) if odd else scipy.linalg.hadamard(order, dtype=np.int8)


def _paley(prime: int) -> Any:
    """Paley's first kind by its textbook definition, entry by entry."""
    squares = {i * i % prime for i in range(1, prime)}
    matrix = np.ones((prime + 1, prime + 1), dtype=np.int8)
    matrix[1:, 0] = -1
    for i in range(prime):
        for j in range(prime):
            matrix[i + 1, j + 1] = 1 if i == j or (j - i) % prime in squares else -1
    return matrix
