"""Which ranks of a partitioned stage wait for which, and how many each partition wants."""

from dataclasses import dataclass

from phis_lab.plan.hardware import Machine
from phis_lab.plan.layouts import Layout, student_seconds, teacher_seconds
from phis_lab.plan.workload import StageWork, Workload
from phis_lab.strategies.balance import Costs, best_ranks, divisors


@dataclass(frozen=True)
class Balance:
    """One partition of a stage.

    Args:
        stage: its name.
        partition: its name.
        ranks: that it has in the layout.
        seconds: of teachers and students in one step with those.
        idle: share of the step in which they wait for others.
        fair_ranks: of the same number in all, in proportion to the work; a fraction.
        best_ranks: whole numbers that divide its images, come to the same number in all and make the step shortest;
            None where none do.
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
        costs = costs_of(work, stage, machine)
        best = best_ranks(costs, layout.ranks)
        whole = sum(of_partition[1] for of_partition in costs.values())
        for share in planned.shares:
            of_partition = costs[share.partition]
            mine = None if best is None else best[share.partition]
            found.append(
                Balance(
                    stage=stage.name,
                    partition=share.partition,
                    ranks=share.ranks,
                    seconds=share.step.busy,
                    idle=share.step.waiting / share.step.total,
                    fair_ranks=layout.ranks * of_partition[1] / whole,
                    best_ranks=mine,
                    best_seconds=None if mine is None else of_partition[mine],
                )
            )
    return found


def costs_of(work: Workload, stage: StageWork, machine: Machine) -> Costs:
    """Seconds of teachers and students in a step, by partition and by the number of ranks that share its images.

    Args:
        work: what a run computes.
        stage: of it.
        machine: what computes it.
    """
    return {
        part.name: {
            number: teacher_seconds(work, part, machine) / number + student_seconds(work, part, machine, number)
            for number in divisors(part.images)
        }
        for part in stage.partitions
    }
