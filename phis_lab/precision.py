"""In which precision products are computed: low where hardware makes it fast, full whatever the process allows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]
"""What a user asks for; `auto` is bfloat16 where the hardware has it."""

Products = Literal["float32", "bfloat16x3"]
"""How float32 factors are multiplied: as they are, or as bfloat16 halves (`phis_lab.linalg.split_linear`)."""


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware, so that it is faster than float32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


@contextmanager
def full_float32(convolutions: bool = False) -> Iterator[None]:
    """Keeps float32 factors from being rounded to TF32 or bfloat16 while it lasts.

    torch has one setting for all devices and, from 2.9 on, one per backend; it refuses to read the first once
    the second was used.

    Args:
        convolutions: those of cuDNN too, whose default is TF32; otherwise matrix products alone.
    """
    try:
        allowed = torch.get_float32_matmul_precision()
        of_cudnn = convolutions and torch.backends.cudnn.allow_tf32
    except RuntimeError:
        with _full_float32_by_backend(convolutions):
            yield
        return
    if allowed == "highest" and not of_cudnn:
        yield
        return
    _set(False if convolutions else None, "highest")
    try:
        yield
    finally:
        _set(of_cudnn if convolutions else None, allowed)


def _set(tf32_in_cudnn: bool | None, products: str) -> None:
    if tf32_in_cudnn is not None:
        torch.backends.cudnn.allow_tf32 = tf32_in_cudnn
    torch.set_float32_matmul_precision(products)


@contextmanager
def _full_float32_by_backend(convolutions: bool) -> Iterator[None]:
    mkldnn, cudnn = (getattr(torch.backends, name) for name in ("mkldnn", "cudnn"))
    backends: list[Any] = [torch.backends.cuda.matmul, mkldnn.matmul, *([cudnn.conv] if convolutions else [])]
    allowed = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, allowed, strict=True):
            backend.fp32_precision = precision
