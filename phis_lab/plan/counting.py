"""What a pass through a network costs: operations, and the bytes that are alive on the way."""

import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class PassCost:
    """What one forward pass takes.

    Args:
        flops: operations of its products and convolutions, a multiplication and an addition being two.
        peak_bytes: most bytes of intermediate results that are alive at once, in float32.
        saved_bytes: what is kept for the backward pass, in float32; zero where nothing asks for a gradient.
    """

    flops: int
    peak_bytes: int
    saved_bytes: int


class _Counter(TorchDispatchMode):
    """Sees every operation of torch.

    Args:
        there: tensors that are there before and count as no result.
    """

    def __init__(self, there: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.alive = self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in there}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=result))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.born(tensor)
        return result

    def born(self, tensor: Tensor) -> None:
        """Counts a result, unless it is a view of what is there."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._known:
            self._known.add(storage._cdata)
            self.alive += storage.nbytes()
            self.peak = max(self.peak, self.alive)
            weakref.finalize(storage, self._died, storage._cdata, storage.nbytes())

    def _died(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.alive -= size


class _FusedAttention(torch.autograd.Function):
    """Attention as fused kernels do it: no matrix of scores is written, and only its factors and result are kept.

    Only forward passes are counted, so there is no backward one.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Returns a result of the right shape, without values."""
        result = query.new_empty((*query.shape[:-1], value.shape[-1]))
        ctx.save_for_backward(query, key, value, result)
        return result


def cost_of(network: torch.nn.Module, run: Callable[[], object], there: Sequence[Tensor] = ()) -> PassCost:
    """Counts one pass; autograd is on, so what asks for a gradient is kept as in training.

    Args:
        network: whose parameters and buffers are there before.
        run: passes through it once.
        there: further tensors that are there before, such as the images.
    """
    counter = _Counter([*network.parameters(), *network.buffers(), *there])

    def attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
        rows = math.prod(query.shape[:-1])
        counter.flops += 2 * rows * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        result: Tensor = _FusedAttention.apply(query, key, value)  # type: ignore[no-untyped-call]
        return result

    with _kept(network) as kept, patch("torch.nn.functional.scaled_dot_product_attention", attention), counter:
        run()
    return PassCost(counter.flops, counter.peak, sum(size for _, size in kept.values()))


@contextmanager
def _kept(network: torch.nn.Module) -> Iterator[dict[tuple[int, int], tuple[Any, int]]]:
    """Gathers what autograd keeps, each thing once and parameters never."""
    own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[tuple[int, int], tuple[Any, int]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata, tensor.numel()] = storage, tensor.numel() * tensor.element_size()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept
