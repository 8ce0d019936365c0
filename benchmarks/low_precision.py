"""What students do in bfloat16 on a CPU, `low_products`, against autocast alone: attention, and the patch embedding."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.harness import Comparison, in_turns
from phis_lab.precision import low_products

REPEATS = 10
TOKENS = (17, 50, 197, 257)

Surroundings = Callable[[], AbstractContextManager[object]]


def run() -> Iterator[Comparison]:
    """Time forward and backward passes of 64 images, three heads of 64 channels, or 64 pixels in patches of 16."""
    for tokens in TOKENS:
        factors = [torch.randn(64, 3, tokens, 64).bfloat16().requires_grad_() for _ in range(3)]
        exact = scaled_dot_product_attention(*(factor.detach().double() for factor in factors))
        what = f"attention among {tokens} tokens, with backward"
        yield _compared(what, lambda factors=factors: scaled_dot_product_attention(*factors), exact)
    layer, images = nn.Conv2d(3, 192, 16, 16), torch.randn(64, 3, 64, 64)
    with torch.no_grad():
        exact = nn.functional.conv2d(images.double(), layer.weight.double(), layer.bias.double(), 16)
    yield _compared("patch embedding of 64 images, with backward", lambda: layer(images), exact)


def _compared(what: str, work: Callable[[], Tensor], exact: Tensor) -> Comparison:
    def passes(surroundings: Surroundings) -> None:
        for _ in range(REPEATS):
            with surroundings():
                result = work()
            result.backward(torch.ones_like(result))

    ours, peer = (partial(of, "cpu", torch.bfloat16) for of in (low_products, torch.autocast))
    errors = []
    for surroundings in (ours, peer):
        with torch.no_grad(), surroundings():
            errors.append(float((work().double() - exact).norm() / exact.norm()))
    assert errors[0] <= 1.05 * errors[1], f"errors {errors}"
    check = f"error {errors[0]:.1e} of float64; the peer's {errors[1]:.1e}"
    row = Comparison("low precision", what, "the same under autocast alone", "at most 1", check)
    return in_turns(row, partial(passes, ours), partial(passes, peer))
