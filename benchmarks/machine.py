"""What the machine can do at best on the threads in use: the physical limits that rows are read against."""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from phis_lab.precision import has_bfloat16

_SIZE, _COPY_MB, _REPEATS = 2048, 256, 7


class Rates(NamedTuple):
    """Best of several tries on the threads in use."""

    float32_gflops: float
    bfloat16_gflops: float | None  # where the hardware has none, a product takes minutes
    numpy_float32_gflops: float
    copy_gb_per_second: float

    def __str__(self) -> str:
        """In words, for the head of the table."""
        low = "" if self.bfloat16_gflops is None else f"torch bfloat16 {self.bfloat16_gflops:,.0f}, "
        return (
            f"matrix products of {_SIZE} x {_SIZE}: torch float32 {self.float32_gflops:,.0f}, {low}"
            f"numpy float32 {self.numpy_float32_gflops:,.0f} GFLOP/s; copy of "
            f"{_COPY_MB} MB: {self.copy_gb_per_second:.1f} GB/s read and written"
        )


@functools.cache
def rates() -> Rates:
    """Measure once per process, in about two seconds.

    A product of two n x n matrices counts 2 n^3 operations; a copy counts every byte twice, once read, once written.
    """
    operations = 2.0 * _SIZE**3 / 1e9
    a = torch.randn(_SIZE, _SIZE)
    low = a.bfloat16()
    array = a.numpy()
    source = torch.ones(_COPY_MB * 1_000_000 // 4)
    target = torch.empty_like(source)
    return Rates(
        float32_gflops=operations / _best(lambda: a @ a),
        bfloat16_gflops=operations / _best(lambda: low @ low) if has_bfloat16("cpu") else None,
        numpy_float32_gflops=operations / _best(lambda: array @ array),
        copy_gb_per_second=2.0 * source.nbytes / 1e9 / _best(lambda: target.copy_(source)),
    )


def _best(action: Callable[[], object]) -> float:
    """Least seconds of several calls, the first not counted."""
    action()
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
