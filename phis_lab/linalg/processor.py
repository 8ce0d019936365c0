"""What the processor is known for; the rooms choose the faster of two libraries by it."""

from collections.abc import Mapping
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
