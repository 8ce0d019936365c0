"""Weights that are pruned for the length of a block."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import L1Unstructured


@contextmanager
def pruned(module: nn.Module, share: float) -> Iterator[None]:
    """Sets to zero, inside the block, the smallest weights of every linear layer, and puts them back after it.

    l1 unstructured pruning as torch has it: of each weight matrix, the share with the least absolute values; biases
    stay. Of a layer that computes with a function of its weight, as under spectral reparametrisation, the weight that
    it computes with is pruned.

    Args:
        module: such as a student's backbone.
        share: of the weights of each layer, in [0, 1).

    Raises:
        ValueError: another share, or no linear layer.
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of pruned weights is in [0, 1), got {share}")
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError(f"pruning needs linear layers, and {type(module).__name__} has none")
    with ExitStack() as changes:
        for layer in layers:
            weight = layer.weight.detach()
            kept = L1Unstructured(amount=float(share)).prune(weight.clone())
            if parametrize.is_parametrized(layer, "weight"):
                changes.enter_context(_masked(layer, kept != 0))
            else:
                changes.enter_context(_replaced(layer.weight, kept))
        yield


@contextmanager
def _replaced(weight: Tensor, values: Tensor) -> Iterator[None]:
    before = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(values)
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(before)


@contextmanager
def _masked(layer: nn.Linear, mask: Tensor) -> Iterator[None]:
    """Multiplies what the layer's own parametrisations give by a mask."""
    steps: Any = layer.parametrizations["weight"]  # type: ignore[index]
    steps.append(_Mask(mask))
    try:
        yield
    finally:
        del steps[-1]


class _Mask(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask
