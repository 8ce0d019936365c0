"""One gradient all-reduce per arm."""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from phis_lab.processes import world_size


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
