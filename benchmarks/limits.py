"""How far training is from the machine's own rate of matrix products."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import rates


def matrix_limit(train: Callable[[], object], steps: int, seconds: float, low_precision: torch.dtype | None) -> str:
    """The share of a step that its matrix products and convolutions alone would take, in words.

    Args:
        train: runs `steps` steps, teachers included; its operations are counted.
        steps: of one call.
        seconds: measured for one step.
        low_precision: of the products; None for float32.
    """
    with FlopCounterMode(display=False, custom_mapping=_fused_convolution()) as counter:
        train()
    operations = counter.get_total_flops() / steps / 1e9
    measured = rates()
    rate, name = measured.float32_gflops, "float32"
    if low_precision is not None and measured.bfloat16_gflops is not None:
        rate, name = measured.bfloat16_gflops, "bfloat16"
    share = operations / rate / seconds
    return f"{operations:.0f} GFLOP a step, at the measured {name} rate {share:.2f} of the time of ours"


def _fused_convolution() -> dict[Any, Callable[..., int]]:
    """Operations of the convolution that the frozen teachers use on a CPU, which torch's counter does not know."""
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return {}

    def count(images: torch.Size, weight: torch.Size, *rest: object, out_shape: torch.Size, **options: object) -> int:
        """Every output element is a sum over as many products as one output channel has weights."""
        return 2 * math.prod(out_shape) * math.prod(weight) // out_shape[1]

    return {torch.ops.mkldnn._convolution_pointwise: count}
