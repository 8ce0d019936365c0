"""Strategies by one word: how many processes train together."""

from datetime import timedelta
from typing import Any, Literal

from phis_lab.bounds import Positive, Processes
from phis_lab.strategies.per_arm_ddp import PerArmDDP


class Single:
    """One process on one device."""

    processes = 1

    def trainer_arguments(self) -> dict[str, Any]:
        """What the Trainer has to know."""
        return {"strategy": "auto", "devices": 1, "num_nodes": 1}


class DataParallel:
    """Each process takes its share of every batch; one gradient all-reduce per arm.

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
