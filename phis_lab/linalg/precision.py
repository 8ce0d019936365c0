"""Full float32 products, whatever the process allows elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Keeps float32 factors from being rounded to TF32 or bfloat16 while it lasts.

    torch has one setting for all devices and, from 2.9 on, one per backend; it refuses to read the first once
    the second was used.
    """
    try:
        allowed = torch.get_float32_matmul_precision()
    except RuntimeError:
        with _full_float32_by_backend():
            yield
        return
    if allowed == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


@contextmanager
def _full_float32_by_backend() -> Iterator[None]:
    mkldnn: Any = torch.backends.mkldnn
    backends = (torch.backends.cuda.matmul, mkldnn.matmul)
    allowed = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, allowed, strict=True):
            backend.fp32_precision = precision
