"""The student's forward pass through torch.compile."""

from collections.abc import Callable, Collection

import torch
import torch._dynamo
import torch._inductor.config
from torch import Tensor, nn

from phis_lab.features import Features

Forward = Callable[[Tensor, int, Collection[str] | None], tuple[Features, dict[str, Features]]]
"""(images, image size, teachers) -> tokens and predictions."""

MOST_VARIANTS = 256


def compile_forward(student: nn.Module) -> Forward:
    """A compiled `student.forward` that shares the student's parameters.

    Shapes are static and random numbers are eager's, so what one arm compiles does not depend on the arms beside it,
    and drop path draws from the arm's own stream. torch keeps eight variants of a function and silently goes back to
    eager beyond; a sweep may well have more students.
    """
    torch._dynamo.config.recompile_limit = MOST_VARIANTS
    torch._inductor.config.fallback_random = True
    compiled: Forward = torch.compile(student.forward, dynamic=False)
    return compiled
