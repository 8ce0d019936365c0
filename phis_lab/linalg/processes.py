"""The processes of a data-parallel run; without a process group there is one, and it leaves its input alone."""

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process among those that train together."""
    return dist.get_rank() if world_size() > 1 else 0


def any_process(flag: bool) -> bool:
    """Whether the flag is up in any of the processes."""
    if world_size() == 1:
        return flag
    raised = torch.tensor(float(flag), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(raised)
    return bool(raised)


def average(values: Tensor) -> Tensor:
    """Mean of a tensor of statistics over the processes."""
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= world_size()
    return values


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks; a constant, into which no gradient flows.

    Every process must bring as many rows as the others.
    """
    rows = rows.detach()
    if world_size() == 1:
        return rows
    parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)
