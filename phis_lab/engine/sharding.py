"""A student whose parameters, gradients and optimiser state are divided among processes (torch's FSDP2).

Checkpoints hold whole tensors, so that a run goes on under any strategy and in any number of processes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from phis_lab.students import Student


def shard(student: Student, mesh: DeviceMesh) -> None:
    """Divide a student's parameters among the processes of a mesh, block by block.

    Args:
        student: whose blocks are gathered one at a time in each pass.
        mesh: of one dimension.
    """
    for block in student.backbone.vit.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(student, mesh=mesh)


def is_sharded(module: nn.Module) -> bool:
    """Whether `shard` has divided it."""
    return isinstance(module, FSDPModule)


@contextmanager
def whole(student: nn.Module) -> Iterator[None]:
    """Keep all parameters gathered, so that every process may call any part of a student as often as it likes.

    All processes enter and leave it together.
    """
    parts = [part for part in student.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(part is not student, recurse=False)
            part.reshard()


def gathered(state: Any) -> Any:
    """A state in which every divided tensor is whole; all processes call this together."""
    return tree_map(lambda leaf: leaf.full_tensor() if isinstance(leaf, DTensor) else leaf, state)


def divided_modules(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Whole tensors of a state as a module holds them."""
    own = module.state_dict()
    return {name: _divided_like(own.get(name), value) for name, value in state.items()}


def divided_optimizer(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Whole tensors of an optimiser's state as it holds them: divided as the parameters of their size are."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    of_parameters = {
        number: {key: _divided_like(parameters[number], value) for key, value in of_one.items()}
        for number, of_one in state["state"].items()
    }
    return {**state, "state": of_parameters}


def _divided_like(own: Tensor | None, value: Any) -> Any:
    if not isinstance(own, DTensor) or not isinstance(value, Tensor) or value.shape != own.shape:
        return value
    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements, src_data_rank=None)
