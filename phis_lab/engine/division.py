"""Which processes work on which partition of a stage, and what each of them does without."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import lightning as L
import torch

from phis_lab import processes
from phis_lab.data import DataModule
from phis_lab.engine.costs import measured_costs
from phis_lab.engine.distiller import Distiller
from phis_lab.engine.run import Run
from phis_lab.engine.stages import Stage
from phis_lab.normalizers.running_standardize import RunningStandardize
from phis_lab.strategies import TeacherPartition
from phis_lab.strategies.balance import Costs

log = logging.getLogger(__name__)


class Division(L.Callback):
    """Divides the processes among the partitions once they have met, before anything is moved to a device.

    Args:
        strategy: says how.
        data: of the run.
    """

    def __init__(self, strategy: TeacherPartition, data: DataModule) -> None:
        self.strategy, self.data = strategy, data

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Divide them alike in all processes; where it is measured, time what the stages that remain will compute."""
        assert isinstance(pl_module, Distiller)
        stages, costs = pl_module.stages, dict[str, Costs]()
        if self.strategy.measures:
            remain = [each for each in stages if len(each.partitions) > 1 and pl_module.steps_done < each.end]
            costs = measured_costs(remain, [run.arm for run in pl_module.runs], trainer.strategy.root_device)
        ranks = self.strategy.divide({each.name: each.batch_sizes for each in stages}, costs)
        for name, of_stage in costs.items():
            _say_ranks(name, ranks[name], of_stage)
        divide(stages, self.data, ranks, processes.rank())
        pl_module.take_pools()


def _say_ranks(stage: str, ranks: Mapping[str, range], costs: Costs) -> None:
    shares = ", ".join(
        f"{len(of)} for {name} ({costs[name][len(of)]:.3g} s, one alone {costs[name][1]:.3g} s)"
        for name, of in ranks.items()
    )
    log.info("Stage %s, processes by the measured seconds of a step: %s.", stage, shares)


def refuse_shared_statistics(stages: Sequence[Stage], runs: Sequence[Run]) -> None:
    """Refuse what counts a teacher's tokens of all partitions together while no process sees them all.

    Raises:
        ValueError: a run has running statistics of a teacher that several partitions of a stage show.
    """
    for stage in stages:
        shown = Counter(name for partition in stage.partitions.values() for name in partition.train.pool.teachers)
        several = [name for name, count in shown.items() if count > 1]
        for run in runs if several else ():
            maps = [made for name in several for made in run.arm.space(name).modules()]
            of_maps = any(isinstance(made, RunningStandardize) for made in maps)
            if of_maps or any(True for _ in run.arm.losses.buffers()):
                raise ValueError(
                    f"{run.label} has running statistics of a teacher's targets, and in stage '{stage.name}' several "
                    f"partitions show {', '.join(several)}: no process of strategy=teacher_partition sees all of them; "
                    "choose strategy=ddp"
                )


def divide(stages: Sequence[Stage], data: DataModule, ranks: Mapping[str, Mapping[str, range]], own: int) -> None:
    """Give this process its part of every stage: its images, and memory for the teachers that look at them alone.

    Args:
        stages: all of a run.
        data: of the run.
        ranks: that work on each partition, by stage and partition.
        own: rank of this process.
    """
    data.ranks = ranks
    for stage in stages:
        stage.divide(ranks[stage.name], own)
    seen = {
        id(teacher)
        for stage in stages
        for partition in stage.own().values()
        for teacher in partition.train.pool.teachers.values()
    }
    for stage in stages:
        for partition in stage.partitions.values():
            for teacher in partition.train.pool.teachers.values():
                if id(teacher) not in seen:
                    teacher.to(torch.device("meta"))  # it keeps what identifies it, and no weights
