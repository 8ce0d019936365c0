"""The processes that train together; without a process group there is one, and it leaves its input alone.

Where the processes of a run are divided, what is computed for one partition is shared `within` the group of those that
work on it; outside of that it is shared among all.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._pytree import tree_map_only

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
_within: list[dist.ProcessGroup] = []


@contextmanager
def within(group: dist.ProcessGroup | None) -> Iterator[None]:
    """Share with the processes of a group alone; None are all."""
    if group is None:
        yield
        return
    _within.append(group)
    try:
        yield
    finally:
        _within.pop()


def current_group() -> dist.ProcessGroup | None:
    """The group that results are shared in; None are all."""
    return _within[-1] if _within else None


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size(current_group()) if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process among those that train together."""
    return dist.get_rank(current_group()) if world_size() > 1 else 0


def any_process(flag: bool) -> bool:
    """Whether the flag is up in any of the processes."""
    return bool(largest(int(flag)))


def largest(number: int) -> int:
    """The largest of the processes' numbers."""
    if world_size() == 1:
        return number
    known = torch.tensor(number, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(known, dist.ReduceOp.MAX, group=current_group())
    return int(known)


def of_all(value: T) -> list[T]:
    """What every process says, in the order of their ranks."""
    if world_size() == 1:
        return [value]
    said: list[T] = [value] * world_size()
    dist.all_gather_object(said, value, group=current_group())
    return said


def union(names: set[str]) -> set[str]:
    """The names of all processes together."""
    return set().union(*of_all(names))


def means(values: Mapping[K, Tensor], alike: bool = True) -> dict[K, float]:
    """The mean of every named number over those processes that have one of this name.

    Args:
        values: tensors of one number each, on one device, which is waited for once.
        alike: all processes have the same names in the same order.
    """
    if not values and alike:
        return {}
    own = torch.stack([*values.values()]) if values else torch.empty(0)
    if alike:
        return dict(zip(values, average(own).tolist(), strict=True))
    found: dict[K, list[float]] = {}
    for of_process in of_all(dict(zip(values, own.tolist(), strict=True))):
        for name, value in of_process.items():
            found.setdefault(name, []).append(value)
    return {name: sum(parts) / len(parts) for name, parts in found.items()}


def average(values: Tensor) -> Tensor:
    """Mean of a tensor of statistics over the processes, added in the order of their ranks.

    A reduction among three processes or more adds in an order that depends on an element's place, and thus on what
    other arms have put beside it.
    """
    if world_size() > 1:
        parts = [torch.empty_like(values) for _ in range(world_size())]
        dist.all_gather(parts, values.contiguous(), group=current_group())
        values = torch.stack(parts).sum(dim=0) / world_size()
    return values


def said_by(number: int, value: T) -> T:
    """What the process of this number says; its tensors come on the CPU, as from a checkpoint.

    A tensor of a GPU would be put on the GPU of the process that sent it, by all others too.
    """
    if world_size() == 1:
        return value
    said: list[T] = [tree_map_only(Tensor, Tensor.cpu, value)]
    dist.broadcast_object_list(said, group=current_group(), group_src=number)
    return said[0]


def broadcast(tensors: Iterable[Tensor], number: int = 0) -> None:
    """Overwrite tensors by those of the process of this number."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, group=current_group(), group_src=number)


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks; a constant, into which no gradient flows.

    Processes may bring different numbers of rows.
    """
    rows = rows.detach()
    if world_size() == 1:
        return rows
    group = current_group()
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device), group=group)
    sizes = [int(count) for count in counts]
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded, group=group)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
