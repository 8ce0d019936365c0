"""Ways of spreading a run over ranks: what each keeps in memory, how long a step takes, and where it breaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from phis_lab.plan.hardware import Machine, Utilisation
from phis_lab.plan.memory import Crews, at_once, memory_of
from phis_lab.plan.workload import PartitionWork, StageWork, Workload

BACKWARD = 2 / 3
"""Share of a student's passes that its backward pass takes: twice a forward pass."""

LAYOUTS = {
    "single": "one rank does everything",
    "ddp": "every rank holds everything and takes its share of every partition; gradients are averaged beside backward",
    "fsdp2": "as ddp, but the student's weights, gradients and optimiser state are divided among the ranks",
    "teacher_partition": "every partition of a stage has ranks of its own, which hold its teachers alone; then as ddp",
}
"""By the name of their strategy."""


@dataclass(frozen=True)
class Step:
    """Seconds of one step of one rank, by part.

    Args:
        teachers: forward passes.
        student: forward and backward passes, of all arms.
        optimiser: reading and writing of weights, gradients and state.
        link: exchange of gradients (and of weights, where they are divided) that nothing hides.
        hidden: exchange that goes on beside the student's passes.
        waiting: for the ranks of the slowest partition.
    """

    teachers: float
    student: float
    optimiser: float
    link: float
    hidden: float = 0.0
    waiting: float = 0.0

    @property
    def busy(self) -> float:
        """Without what ranks wait for."""
        return self.teachers + self.student

    @property
    def total(self) -> float:
        """Of the whole step."""
        return self.busy + self.optimiser + self.link + self.waiting


@dataclass(frozen=True)
class Share:
    """A partition under one layout.

    Args:
        partition: its name.
        ranks: that work on it; a fraction where they do not divide.
        step: of one of them.
    """

    partition: str
    ranks: float
    step: Step


@dataclass(frozen=True)
class StagePlanned:
    """A stage under one layout: one share for each group of ranks that do the same."""

    stage: str
    steps: int
    images: int
    shares: tuple[Share, ...]

    @property
    def seconds(self) -> float:
        """Of one step: that of its slowest ranks."""
        return max(share.step.total for share in self.shares)


@dataclass(frozen=True)
class Layout:
    """A run under one layout.

    Args:
        name: of the strategy.
        ranks: that it uses.
        stages: in their order.
        memory: bytes of the fullest rank, by part.
    """

    name: str
    ranks: int
    stages: tuple[StagePlanned, ...]
    memory: dict[str, float]

    @property
    def hours(self) -> float:
        """From the first step to the last."""
        return sum(stage.steps * stage.seconds for stage in self.stages) / 3600

    @property
    def device_hours(self) -> float:
        """Over all ranks."""
        return self.hours * self.ranks

    @property
    def images_per_second(self) -> float:
        """Over all ranks, in the mean over all steps."""
        return sum(stage.steps * stage.images for stage in self.stages) / (3600 * self.hours)

    @property
    def bytes_per_rank(self) -> float:
        """Most that one rank has at once."""
        return at_once(self.memory)


def planned(work: Workload, machine: Machine, name: str, crews: Crews | None = None) -> Layout:
    """A run under one layout.

    Args:
        work: what it computes.
        machine: what computes it.
        name: one of `LAYOUTS`.
        crews: ranks that work on each partition, by stage and partition, where these are divided; None divides evenly.
    """
    ranks = 1 if name == "single" else machine.ranks
    stages = tuple(
        _stage(work, stage, machine, name, ranks, (crews or {}).get(stage.name, {})) for stage in work.stages
    )
    return Layout(name, ranks, stages, memory_of(work, machine, name, ranks, crews))


def _stage(
    work: Workload, stage: StageWork, machine: Machine, name: str, ranks: int, crews: Mapping[str, range]
) -> StagePlanned:
    images = sum(part.images for part in stage.partitions)
    if name != "teacher_partition":
        step = _step(work, stage.partitions, machine, name, ranks, float(ranks))
        return StagePlanned(stage.name, stage.steps, images, (Share("all", float(ranks), step),))
    even = max(1.0, ranks / len(stage.partitions))
    among = {part.name: float(len(crews[part.name])) if crews else even for part in stage.partitions}
    steps = [_step(work, [part], machine, name, ranks, among[part.name]) for part in stage.partitions]
    slowest = max(step.total for step in steps)
    shares = tuple(
        Share(
            part.name,
            among[part.name],
            replace(step, waiting=slowest - step.total),
        )
        for part, step in zip(stage.partitions, steps, strict=True)
    )
    return StagePlanned(stage.name, stage.steps, images, shares)


def teacher_seconds(work: Workload, part: PartitionWork, machine: Machine) -> float:
    """Time of one device for the teachers of a partition's images."""
    device, seconds = machine.device, 0.0
    for teacher in part.teachers:
        number = device.number("float32" if teacher.number == "float32" else work.teacher_precision)
        seconds += part.reads * part.images * teacher.forward.flops / _rate(device.tflops[number], machine.teachers)
    return seconds


def student_seconds(work: Workload, part: PartitionWork, machine: Machine, ranks: float) -> float:
    """Time of one of so many devices for the passes of the students of a partition's images.

    Those that are computed in parts go forward a second time.
    """
    images = part.images / ranks
    passes = 1 / (1 - BACKWARD) + (work.microbatch is not None and images > work.microbatch)
    rate = machine.device.tflops[machine.device.number(work.precision)]
    return work.arms * images * passes * part.student.flops / _rate(rate, machine.student)


def _rate(tflops: float, used: Utilisation) -> float:
    return tflops * 1e12 * used.value


def _step(
    work: Workload, parts: Sequence[PartitionWork], machine: Machine, name: str, ranks: int, among: float
) -> Step:
    """A step of one of `among` ranks that share these partitions, of all `ranks`."""
    device, student = machine.device, work.student
    teachers = sum(teacher_seconds(work, part, machine) for part in parts) / among
    passes = sum(student_seconds(work, part, machine, among) for part in parts)
    divided = ranks if name == "fsdp2" else 1
    touched = work.arms * (3 * student.trained_bytes + 2 * student.state_bytes) / divided
    times = 3 if name == "fsdp2" else 2  # a ring sends a tensor once to gather and once to reduce it
    sent = work.arms * times * (ranks - 1) / ranks * student.trained_bytes
    exchange = sent / (device.link_among(ranks) * 1e9)
    beside = passes if name == "fsdp2" else passes * BACKWARD  # there weights are gathered in forward passes too
    hidden = min(exchange, beside)
    return Step(teachers, passes, touched / (device.bandwidth * 1e9), exchange - hidden, hidden)
