"""Where a layout breaks: memory, divisions that do not come out even, and links."""

from collections.abc import Iterator
from typing import NamedTuple

from phis_lab.plan.hardware import Machine
from phis_lab.plan.layouts import Layout
from phis_lab.plan.memory import Crews
from phis_lab.plan.workload import Workload
from phis_lab.strategies.balance import divisors


class Problem(NamedTuple):
    """What stands in the way of a layout.

    Attributes:
        says: what it is, and what to do; the layout's name goes before it.
        stops: whether a run does not start because of it, or only takes longer.
    """

    says: str
    stops: bool = True


def problems_of(work: Workload, machine: Machine, layout: Layout, crews: Crews | None = None) -> Iterator[Problem]:
    """What a run would fail at, or be slow by.

    Args:
        work: what it computes.
        machine: what computes it.
        layout: how it is spread.
        crews: see `planned`; None where they cannot be divided, of which the strategy says why.
    """
    room, need = machine.device.memory_gb, layout.bytes_per_rank
    if room is not None and need > room * 1e9:
        yield Problem(
            f"does not fit: a rank needs about {need / 1e9:.3g} GB, and {machine.device.name} has {room:g} GB; take "
            "more ranks, trainer.microbatch or teachers.microbatch, fewer arms, or another layout"
        )
    yield from _undivided(work, layout, crews)
    for stage in layout.stages:
        slowest = max(stage.shares, key=lambda share: share.step.busy).step
        if slowest.link > slowest.busy:
            yield Problem(
                f"is bound by the link in stage {stage.stage}: {1e3 * slowest.link:.3g} ms of a step of "
                f"{1e3 * slowest.total:.3g} ms exchange gradients; take fewer ranks, a larger batch or a faster link",
                stops=False,
            )


def _undivided(work: Workload, layout: Layout, crews: Crews | None) -> Iterator[Problem]:
    """Images that do not divide among the ranks that share them."""
    if layout.name == "teacher_partition" and crews is None:
        return
    places: dict[tuple[int, int], list[str]] = {}
    for stage in work.stages:
        for part in stage.partitions:
            own = layout.name == "teacher_partition" and crews is not None
            ranks = len(crews[stage.name][part.name]) if own and crews else layout.ranks
            if part.images % ranks:
                places.setdefault((part.images, ranks), []).append(f"{stage.name}/{part.name}")
    for (images, ranks), where in places.items():
        yield Problem(
            f"does not start: {images} images a step ({', '.join(where)}) do not divide among {ranks} ranks; take "
            f"{_nearest_divisors(images, ranks)} of them, or another data.batch_size"
        )


def _nearest_divisors(images: int, ranks: int) -> str:
    numbers = divisors(images)
    near = [max(number for number in numbers if number < ranks), *(number for number in numbers if number > ranks)]
    return " or ".join(str(number) for number in near[:2])
