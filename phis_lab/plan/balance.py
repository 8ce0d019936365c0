"""Which ranks of a partitioned stage wait for which, and how many each partition wants."""

from collections.abc import Mapping
from dataclasses import dataclass

from phis_lab.plan.hardware import Machine
from phis_lab.plan.layouts import Layout, student_seconds, teacher_seconds
from phis_lab.plan.workload import Workload


@dataclass(frozen=True)
class Balance:
    """One partition of a stage.

    Args:
        stage: its name.
        partition: its name.
        ranks: that it has where all have the same.
        seconds: of teachers and students in one step with those.
        idle: share of the step in which they wait for others.
        fair_ranks: of the same number in all, in proportion to the work; a fraction.
        best_ranks: whole numbers that divide its images and make the step shortest; None where there are too few ranks.
        best_seconds: with those.
    """

    stage: str
    partition: str
    ranks: float
    seconds: float
    idle: float
    fair_ranks: float
    best_ranks: int | None
    best_seconds: float | None


def balance(work: Workload, machine: Machine, layout: Layout) -> list[Balance]:
    """The partitions of every stage that has several.

    Args:
        work: what a run computes.
        machine: what computes it.
        layout: with ranks for each partition.
    """
    found = []
    for stage, planned in zip(work.stages, layout.stages, strict=True):
        if len(stage.partitions) < 2:
            continue
        loads = {
            part.name: teacher_seconds(work, part, machine) + student_seconds(work, part, machine)
            for part in stage.partitions
        }
        best = best_ranks(loads, {part.name: part.images for part in stage.partitions}, layout.ranks)
        for share in planned.shares:
            load = loads[share.partition]
            mine = None if best is None else best[share.partition]
            found.append(
                Balance(
                    stage=stage.name,
                    partition=share.partition,
                    ranks=share.ranks,
                    seconds=share.step.busy,
                    idle=share.step.waiting / share.step.total,
                    fair_ranks=layout.ranks * load / sum(loads.values()),
                    best_ranks=mine,
                    best_seconds=None if mine is None else load / mine,
                )
            )
    return found


def best_ranks(loads: Mapping[str, float], images: Mapping[str, int], ranks: int) -> dict[str, int] | None:
    """Ranks of each partition that make the slowest one fastest, and divide its images; None where there are too few.

    Args:
        loads: seconds of one rank that works alone, by partition.
        images: of a step, by partition.
        ranks: in all, of which some may be left over.
    """
    divisors = {
        name: [number for number in range(1, count + 1) if count % number == 0] for name, count in images.items()
    }
    for limit in sorted({loads[name] / number for name in loads for number in divisors[name]}):
        chosen = {
            name: next((number for number in divisors[name] if loads[name] / number <= limit), None) for name in loads
        }
        whole = {name: number for name, number in chosen.items() if number is not None}
        if len(whole) == len(loads) and sum(whole.values()) <= ranks:
            return whole
    return None
