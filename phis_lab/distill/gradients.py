"""Averages over the processes of a data-parallel run; without a process group both leave their input alone."""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in one all-reduce.

    A parameter without a gradient counts as zero, so every process sends the same layout.
    """
    if world_size() == 1:
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    flat = _flatten_dense_tensors(gradients)
    dist.all_reduce(flat)
    flat /= world_size()
    for parameter, gradient in zip(trained, _unflatten_dense_tensors(flat, gradients), strict=True):
        parameter.grad = gradient


def average(values: Tensor) -> Tensor:
    """Mean of a tensor of statistics over the processes."""
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= world_size()
    return values
