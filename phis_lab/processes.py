"""The processes of a data-parallel run; without a process group there is one, and it leaves its input alone."""

from collections.abc import Iterable

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
    return bool(largest(int(flag)))


def largest(number: int) -> int:
    """The largest of the processes' numbers."""
    if world_size() == 1:
        return number
    known = torch.tensor(number, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(known, dist.ReduceOp.MAX)
    return int(known)


def union(names: set[str]) -> set[str]:
    """The names of all processes together."""
    if world_size() == 1:
        return names
    parts: list[set[str]] = [set()] * world_size()
    dist.all_gather_object(parts, names)
    return set().union(*parts)


def average(values: Tensor) -> Tensor:
    """Mean of a tensor of statistics over the processes."""
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= world_size()
    return values


def of_first(message: str | None) -> str | None:
    """What the first process says."""
    if world_size() == 1:
        return message
    said = [message]
    dist.broadcast_object_list(said, src=0)
    return said[0]


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors by those of the first process."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks; a constant, into which no gradient flows.

    Processes may bring different numbers of rows.
    """
    rows = rows.detach()
    if world_size() == 1:
        return rows
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    sizes = [int(count) for count in counts]
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
