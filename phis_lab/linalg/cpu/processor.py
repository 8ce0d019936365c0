"""What this machine has, by which the faster of two libraries is chosen, and how many threads they leave each other."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch


@cache
def mkl_is_narrow() -> bool:
    """Whether MKL, torch's library for products, does without the AVX-512 that this processor has.

    It does on AMD's. OpenBLAS, which is numpy's, and oneDNN are up to twice as fast there. Where torch does not
    know the processor (before 2.11), the answer is no.
    """
    cpu: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    wide = cpu.get("avx512_f", False) and not cpu.get("amx_tile", False)
    return bool(wide and "AMD" in cpu.get("cpu_name", "") and torch.backends.mkl.is_available())


def numpy() -> Any:
    """The module, or None where it is not installed: torch alone must do for everything."""
    try:
        import numpy as module  # noqa: PLC0415
    except ImportError:
        return None
    return module


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Leaves the cores to numpy, whose threads keep them busy for a while after a product; torch's would wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
