"""Processes divided among the partitions of the stages: each holds the teachers of its own alone."""

import os
from collections.abc import Collection, Mapping
from itertools import accumulate
from typing import Literal

from phis_lab.bounds import Positive, Processes
from phis_lab.strategies.data_parallel import DataParallel
from phis_lab.strategies.launchers import launched


class TeacherPartition(DataParallel):
    """Each process works on one partition of every stage, with its teachers and its images (PHI-S, section 3).

    The students' gradients are those of the mean of the partitions' losses, as where one process works on all of them.
    All processes of a partition share its batch.

    Args:
        devices: processes per machine.
        nodes: machines.
        ranks: how many processes work on each partition, by stage and partition. None, or a stage that is left out,
            divides them evenly; the first partitions get one more where that leaves some over.
        backend: of the process group; None is nccl on GPUs and gloo on CPUs.
        timeout_s: seconds after which a silent process counts as lost.

    Source:
        PHI-S (arXiv 2410.01680), section 3; AM-RADIO (arXiv 2312.06709), where images are divided among the teachers.
    """

    def __init__(
        self,
        devices: Processes,
        nodes: Processes = 1,
        ranks: Mapping[str, Mapping[str, Processes]] | None = None,
        backend: Literal["nccl", "gloo"] | None = None,
        timeout_s: Positive = 1800,
    ) -> None:
        super().__init__(devices, nodes, backend, timeout_s)
        self.ranks = dict(ranks or {})

    def divide(self, stages: Mapping[str, Collection[str]]) -> dict[str, dict[str, range]]:
        """The ranks that work on each partition, by stage and partition; of a stage of one partition all.

        Args:
            stages: names of their partitions by their names.

        Raises:
            ValueError: no stage has several partitions, there are too few processes, or `ranks` names others than the
                stages have or comes to another number of processes.
        """
        if foreign := [name for name in self.ranks if name not in stages]:
            raise ValueError(f"strategy.ranks.{foreign[0]}: no stage has this name; there are {', '.join(stages)}")
        if all(len(partitions) == 1 for partitions in stages.values()):
            raise ValueError(
                "strategy=teacher_partition divides the processes among the partitions of a stage, and no stage has "
                "several; choose stages=one_teacher_per_image or stages=phis, or strategy=ddp"
            )
        return {name: self._divide(name, list(partitions)) for name, partitions in stages.items()}

    def _divide(self, stage: str, partitions: list[str]) -> dict[str, range]:
        chosen, count = self.ranks.get(stage), len(partitions)
        where = f"strategy.ranks.{stage}"
        if chosen is None:
            if self.processes < count:
                raise ValueError(
                    f"stage '{stage}' has {count} partitions, one for each process at least, and strategy.devices and "
                    f"strategy.nodes come to {self.processes}; raise them, or choose strategy=ddp"
                )
            share, over = divmod(self.processes, count)
            sizes = [share + (number < over) for number in range(count)]
        else:
            if set(chosen) != set(partitions):
                raise ValueError(f"{where} must give each partition its processes: {', '.join(partitions)}")
            sizes = [chosen[name] for name in partitions]
            if sum(sizes) != self.processes:
                raise ValueError(f"{where} comes to {sum(sizes)} processes, and there are {self.processes}")
        ends = list(accumulate(sizes))
        return {name: range(end - size, end) for name, end, size in zip(partitions, ends, sizes, strict=True)}

    @property
    def own_rank(self) -> int:
        """Number of this process, before the processes have met: as their launcher tells it, or else the first."""
        found = launched()
        if found is not None:
            return int(os.environ[found.rank])
        return int(os.environ.get("NODE_RANK", "0")) * self.devices + int(os.environ.get("LOCAL_RANK", "0"))
