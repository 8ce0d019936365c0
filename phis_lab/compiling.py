"""torch.compile, with what keeps one caller's results from depending on what others compile."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
import torch._dynamo
import torch._inductor.config

_P = ParamSpec("_P")
_R = TypeVar("_R")

MOST_VARIANTS = 256


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function of tensors through torch.compile, anew for each shape.

    Shapes are static and random numbers are eager's, so what is compiled for one caller does not depend on the others,
    and drop path draws from the stream that is active. torch keeps eight variants of a function and silently goes back
    to eager beyond; a sweep may well have more.
    """
    torch._dynamo.config.recompile_limit = MOST_VARIANTS
    torch._inductor.config.fallback_random = True
    result: Callable[_P, _R] = torch.compile(function, dynamic=False)
    return result
