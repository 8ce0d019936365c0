"""Processes that torchrun or Slurm has started, beside those that a strategy counts on."""

import os
from typing import NamedTuple

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from phis_lab.strategies.data_parallel import DataParallel, Single


class Launched(NamedTuple):
    """What a launcher has started."""

    by: str
    processes: int
    per_machine: int
    option: str
    """With which it is told how many there are on a machine."""


def launched() -> Launched | None:
    """What a launcher has started; None where this process starts the others itself."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        count, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        return Launched("torchrun", count, here, "--nproc-per-node")
    if SLURMEnvironment.detect():
        count = int(os.environ["SLURM_NTASKS"])
        machines = int(os.environ.get("SLURM_NNODES", "1"))
        return Launched("Slurm", count, count // machines, "--ntasks-per-node")
    return None


def refuse_other_processes(strategy: Single | DataParallel) -> None:
    """Refuse another number of processes than the strategy has; a single process may be Slurm's one task.

    Raises:
        ValueError: with what to set, and what to start instead.
    """
    found = launched()
    devices, nodes = (strategy.devices, strategy.nodes) if isinstance(strategy, DataParallel) else (1, 1)
    if found is None or (found.per_machine, found.processes) == (devices, devices * nodes):
        return
    machines = found.processes // found.per_machine
    wanted = f"strategy.devices={found.per_machine}" + (f" strategy.nodes={machines}" if machines > 1 else "")
    chosen = f"strategy.devices={devices} strategy.nodes={nodes}" if isinstance(strategy, DataParallel) else "it is one"
    raise ValueError(
        f"{found.by} started {found.processes} processes, {found.per_machine} on each machine, and by the strategy "
        f"({chosen}) there are {devices * nodes}; choose strategy=ddp {wanted}, or start others with {found.option}"
    )
