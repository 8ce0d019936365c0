"""In which precision products are computed: low where hardware makes it fast, full whatever the process allows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

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
def low_products(device: str, dtype: torch.dtype | None) -> Iterator[None]:
    """Multiplies float32 factors in a lower precision while it lasts, as autocast does, and fast on a CPU too.

    Args:
        device: where the factors are, "cpu" or "cuda".
        dtype: bfloat16 or float16; None leaves products as they are.
    """
    fast: AbstractContextManager[object] = nullcontext() if dtype is None or device != "cpu" else _FastOnACpu()
    with torch.autocast(device, dtype, enabled=dtype is not None), fast:
        yield


class _FastOnACpu(TorchFunctionMode):
    """Computes in another way what torch is slow at in low precision on a CPU (`benchmarks/low_precision.py`).

    Attention is computed in float32, from factors and to a result in low precision: as exact or more, and faster from
    17 tokens on, where it is five times as fast. A convolution whose patches do not overlap is one product of these
    patches.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls a function of torch, or what stands for it."""
        if func is scaled_dot_product_attention:
            func = _attention_in_float32
        elif func is conv2d and _cuts_patches(*args, **(kwargs or {})):
            func = _product_of_patches
        return func(*args, **(kwargs or {}))


def _attention_in_float32(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *rest: Any, **options: Any
) -> Tensor:
    mask = attn_mask.float() if attn_mask is not None and attn_mask.is_floating_point() else attn_mask
    with torch.autocast("cpu", enabled=False):
        result = scaled_dot_product_attention(query.float(), key.float(), value.float(), mask, *rest, **options)
    return result.to(query.dtype)


def _cuts_patches(
    input: Tensor,  # noqa: A002  torch's name, by which it may be given
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    """Whether a convolution sees every pixel once, in patches as large as its kernel."""
    del bias
    kernel, size = weight.shape[2:], input.shape[2:]
    return (
        input.ndim == 4
        and kernel == (stride if isinstance(stride, tuple) else (stride, stride))
        and padding in (0, (0, 0))
        and dilation in (1, (1, 1))
        and groups == 1
        and all(whole % part == 0 for whole, part in zip(size, kernel, strict=True))
    )


def _product_of_patches(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    *_: Any,
    **__: Any,
) -> Tensor:
    rows, columns = weight.shape[2:]
    patches = input.unflatten(3, (-1, columns)).unflatten(2, (-1, rows)).permute(0, 2, 4, 1, 3, 5).flatten(3)
    return linear(patches, weight.flatten(1), bias).permute(0, 3, 1, 2)


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
