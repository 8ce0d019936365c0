"""Processes divided among the partitions of the stages: each holds the teachers of its own alone."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Literal

from phis_lab.bounds import Positive, Processes
from phis_lab.strategies.balance import Costs, best_ranks, divisors, nearest_numbers
from phis_lab.strategies.data_parallel import DataParallel


class TeacherPartition(DataParallel):
    """Each process works on one partition of every stage, with its teachers and its images (PHI-S, section 3).

    The students' gradients are those of the mean of the partitions' losses, as where one process works on all of them.
    All processes of a partition share its batch.

    Args:
        devices: processes per machine.
        nodes: machines.
        ranks: how many processes work on each partition, by stage and partition. None, or a stage that is left out,
            divides them evenly; the first partitions get one more where that leaves some over. `measured` times
            teachers and students at the start of the run, and takes the numbers with which the slowest partition is
            fastest, of those that divide the images of the partitions.
        backend: of the process group; None is nccl on GPUs and gloo on CPUs.
        timeout_s: seconds after which a silent process counts as lost.

    Source:
        PHI-S (arXiv 2410.01680), section 3; AM-RADIO (arXiv 2312.06709), where images are divided among the teachers.
    """

    def __init__(
        self,
        devices: Processes,
        nodes: Processes = 1,
        ranks: Mapping[str, Mapping[str, Processes]] | Literal["measured"] | None = None,
        backend: Literal["nccl", "gloo"] | None = None,
        timeout_s: Positive = 1800,
    ) -> None:
        super().__init__(devices, nodes, backend, timeout_s)
        self.measures = ranks == "measured"
        self.ranks = {} if ranks is None or isinstance(ranks, str) else dict(ranks)

    def divide(
        self, stages: Mapping[str, Mapping[str, int]], seconds: Mapping[str, Costs] | None = None
    ) -> dict[str, dict[str, range]]:
        """The ranks that work on each partition, by stage and partition; of a stage of one partition all.

        Args:
            stages: images of a step, by stage and partition.
            seconds: what was measured, by stage. Where all partitions of a stage are taken for equally costly, because
                it is left out, there are such ranks if there are any.

        Raises:
            ValueError: no stage has several partitions, there are too few processes, or `ranks` names others than the
                stages have, comes to another number of processes or has no choice that divides the images.
        """
        if foreign := [name for name in self.ranks if name not in stages]:
            raise ValueError(f"strategy.ranks.{foreign[0]}: no stage has this name; there are {', '.join(stages)}")
        if all(len(partitions) == 1 for partitions in stages.values()):
            raise ValueError(
                "strategy=teacher_partition divides the processes among the partitions of a stage, and no stage has "
                "several; choose stages=one_teacher_per_image or stages=phis, or strategy=ddp"
            )
        divided = {}
        for name, images in stages.items():
            sizes = self._sizes(name, images, (seconds or {}).get(name))
            ends = list(accumulate(sizes.values()))
            divided[name] = {
                partition: range(end - size, end) for (partition, size), end in zip(sizes.items(), ends, strict=True)
            }
        return divided

    def _sizes(self, stage: str, images: Mapping[str, int], seconds: Costs | None) -> dict[str, int]:
        """How many processes work on each partition of a stage."""
        if stage in self.ranks:
            return self._chosen(stage, images)
        if len(images) == 1:
            return dict.fromkeys(images, self.processes)
        if self.processes < len(images):
            raise ValueError(
                f"stage '{stage}' has {len(images)} partitions, one for each process at least, and strategy.devices "
                f"and strategy.nodes come to {self.processes}; raise them, or choose strategy=ddp"
            )
        if self.measures:
            return self._balanced(stage, images, seconds)
        share, over = divmod(self.processes, len(images))
        return {name: share + (number < over) for number, name in enumerate(images)}

    def _chosen(self, stage: str, images: Mapping[str, int]) -> dict[str, int]:
        where, chosen = f"strategy.ranks.{stage}", self.ranks[stage]
        if set(chosen) != set(images):
            raise ValueError(f"{where} must give each partition its processes: {', '.join(images)}")
        if sum(chosen.values()) != self.processes:
            raise ValueError(f"{where} comes to {sum(chosen.values())} processes, and there are {self.processes}")
        return {name: chosen[name] for name in images}

    def _balanced(self, stage: str, images: Mapping[str, int], seconds: Costs | None) -> dict[str, int]:
        alike = {name: {number: 1 / number for number in divisors(count)} for name, count in images.items()}
        found = best_ranks(seconds or alike, self.processes)
        if found is None:
            shown = ", ".join(f"{count} of {name}" for name, count in images.items())
            near = " or ".join(map(str, nearest_numbers(images, self.processes)))
            raise ValueError(
                f"strategy.ranks=measured: however {self.processes} processes are divided among the partitions of "
                f"stage '{stage}', some cannot share the images of a step evenly ({shown}); take {near} processes, or "
                "another data.batch_size"
            )
        return found
