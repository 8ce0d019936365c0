"""Strategies by one word: how many processes train together, and how the arms of one process group agree."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import torch.distributed as dist
from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from torch import nn

from phis_lab.bounds import Positive, Processes
from phis_lab.lifelines import LAUNCHER, end_with_children


class _Launcher(_SubprocessScriptLauncher):
    """Lightning's launcher, whose processes say why they end; its own kills the first one without a word."""

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Start the other processes of this machine, and call the function in this one."""
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            os.environ[LAUNCHER] = str(os.getpid())
            self._call_children_scripts()
            end_with_children(self.procs)
        _set_num_threads_if_needed(self.num_processes)
        return function(*args, **kwargs)


class PerArmDDP(DDPStrategy):
    """Lightning's DDP without its wrapper: every arm averages its own gradients.

    torch's DistributedDataParallel expects one backward pass over all parameters of the module. Here each arm has its
    own, and a stopped arm has none, so the module stays unwrapped and the arms synchronise themselves.
    """

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = _Launcher(self.cluster_environment, self.num_processes, self.num_nodes)

    def configure_ddp(self) -> None:
        """Start every process from the parameters of rank 0 instead of wrapping the module."""
        assert isinstance(self.model, nn.Module)
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            dist.broadcast(tensor.data, src=0)


class Single:
    """One process on one device."""

    processes = 1

    def trainer_arguments(self) -> dict[str, Any]:
        """What the Trainer has to know."""
        return {"strategy": "auto", "devices": 1, "num_nodes": 1}


class DataParallel:
    """Each process takes its share of every batch; gradients of each arm are averaged while its backward pass runs.

    Args:
        devices: processes per machine.
        nodes: machines.
        backend: of the process group; None is nccl on GPUs and gloo on CPUs.
        timeout_s: seconds after which a silent process counts as lost.
    """

    def __init__(
        self,
        devices: Processes,
        nodes: Processes = 1,
        backend: Literal["nccl", "gloo"] | None = None,
        timeout_s: Positive = 1800,
    ) -> None:
        self.devices, self.nodes, self.backend, self.timeout_s = devices, nodes, backend, timeout_s
        self.processes = devices * nodes

    def trainer_arguments(self) -> dict[str, Any]:
        """What the Trainer has to know."""
        strategy = PerArmDDP(process_group_backend=self.backend, timeout=timedelta(seconds=self.timeout_s))
        return {"strategy": strategy, "devices": self.devices, "num_nodes": self.nodes}
