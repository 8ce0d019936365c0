"""Processes that torchrun or Slurm has started, beside those that a strategy counts on."""

import os
from typing import NamedTuple

from lightning.fabric.plugins import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from phis_lab.slurm import Step, this_step
from phis_lab.strategies.data_parallel import DataParallel, Single


class Launched(NamedTuple):
    """What a launcher has started."""

    by: str
    processes: int
    machines: int
    option: str
    """With which it is told how many there are on a machine."""


def launched() -> Launched | None:
    """What a launcher has started; None where this process starts the others itself."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        count, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        return Launched("torchrun", count, -(-count // here), "--nproc-per-node")
    step = this_step()
    if step is not None:
        return Launched("Slurm", step.tasks, step.machines, "--ntasks-per-node")
    return None


class SlurmStep(ClusterEnvironment):
    """The tasks of a Slurm step as Lightning has to know them.

    Lightning's own environment goes by the job's variables: it takes a script that forgot `srun` for one of several
    tasks, which waits for the others, and the tasks of `srun` in an interactive allocation for none.

    Args:
        step: that this process is a task of.
    """

    creates_processes_externally = True

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    @property
    def main_address(self) -> str:
        """The first machine, unless the user named another."""
        return os.environ.setdefault("MASTER_ADDR", self.step.first_machine)

    @property
    def main_port(self) -> int:
        """The step's own, unless the user named another."""
        return int(os.environ.setdefault("MASTER_PORT", str(self.step.port)))

    @staticmethod
    def detect() -> bool:
        """Whether this process is a task of a step."""
        return this_step() is not None

    def world_size(self) -> int:
        """Number of tasks."""
        return self.step.tasks

    def set_world_size(self, size: int) -> None:
        """Nothing; it is Slurm's to say."""

    def global_rank(self) -> int:
        """Number of this task."""
        return self.step.rank

    def set_global_rank(self, rank: int) -> None:
        """Nothing; it is Slurm's to say."""

    def local_rank(self) -> int:
        """Number of this task on its machine."""
        return self.step.rank_on_machine

    def node_rank(self) -> int:
        """Number of this task's machine."""
        return self.step.machine


def environment() -> ClusterEnvironment | None:
    """What tells Lightning of the other processes; None where it finds out by itself."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return None
    step = this_step()
    if step is not None:
        return SlurmStep(step)
    return LightningEnvironment() if "SLURM_NTASKS" in os.environ else None


def refuse_other_processes(strategy: Single | DataParallel) -> None:
    """Refuse another number of processes than the strategy has; a single process may be Slurm's one task.

    Raises:
        ValueError: with what to set, and what to start instead.
    """
    found = launched()
    devices, nodes = (strategy.devices, strategy.nodes) if isinstance(strategy, DataParallel) else (1, 1)
    if found is None:
        _refuse_unlaunched(nodes)
        return
    if found.processes % found.machines:
        raise ValueError(
            f"{found.by} divides {found.processes} tasks unevenly among {found.machines} machines, and "
            f"strategy.devices counts those of each; start as many on every machine with {found.option}"
        )
    per_machine = found.processes // found.machines
    if (per_machine, found.machines) == (devices, nodes):
        return
    wanted = f"strategy=ddp strategy.devices={per_machine}" if found.processes > 1 else "strategy=single"
    wanted += f" strategy.nodes={found.machines}" if found.machines > 1 else ""
    chosen = f"strategy.devices={devices} strategy.nodes={nodes}" if isinstance(strategy, DataParallel) else "it is one"
    started = f"{found.processes} process{'es' if found.processes > 1 else ''}"
    raise ValueError(
        f"{found.by} started {started}, {per_machine} on each machine, and by the strategy "
        f"({chosen}) there are {devices * nodes}; choose {wanted}, or start others with {found.option}={devices}"
    )


def _refuse_unlaunched(nodes: int) -> None:
    """Refuse several machines of which nobody started the others; the rendezvous would be waited for in vain."""
    if nodes > 1 and not {"MASTER_ADDR", "NODE_RANK"} <= set(os.environ):
        raise ValueError(
            f"strategy.nodes={nodes}, and nothing has started the processes of the other machines; start the command "
            "with srun or torchrun, or set MASTER_ADDR, MASTER_PORT and NODE_RANK on each machine"
        )


def local_rank() -> int:
    """Number of this process on its machine, before the processes have met; 0 of one that starts the others itself."""
    step = None if "LOCAL_RANK" in os.environ else this_step()
    return int(os.environ.get("LOCAL_RANK", "0")) if step is None else step.rank_on_machine
