"""What a rank keeps in its memory, by part."""

from collections.abc import Mapping, Sequence

from phis_lab.plan.hardware import Machine
from phis_lab.plan.workload import PartitionWork, StageWork, Workload

Crews = Mapping[str, Mapping[str, range]]
"""Ranks that work on each partition, by stage and partition."""

CHUNK_ON_CPU = 16
WIDTH = {"bfloat16": 0.5, "float32": 1.0}
"""Size of an activation over that in float32."""
WORKING = ("teachers' activations", "student's activations", "gradients", "bfloat16 copies")
"""Parts that come and go in a step."""


def at_once(memory: Mapping[str, float]) -> float:
    """Most that a rank has at once: teachers and students do not work at the same time.

    Args:
        memory: bytes by part.
    """
    fixed = sum(size for part, size in memory.items() if part not in WORKING)
    teachers, *student = (memory[part] for part in WORKING)
    return fixed + max(teachers, sum(student))


def memory_of(work: Workload, machine: Machine, name: str, ranks: int, crews: Crews | None = None) -> dict[str, float]:
    """Bytes of the fullest rank, by part.

    Args:
        work: what a run computes.
        machine: what computes it.
        name: of the layout.
        ranks: that it uses.
        crews: those that work on each partition, where these are divided; None divides them evenly.
    """
    student, arms = work.student, work.arms
    divided = ranks if name == "fsdp2" else 1
    number = machine.device.number(work.precision)
    gathered = 2 * student.bytes / student.depth if name == "fsdp2" else 0.0
    groups = [
        [(part, _share(stage, part, ranks, crews))]
        if name == "teacher_partition"
        else [(each, each.images / ranks) for each in stage.partitions]
        for stage in work.stages
        for part in stage.partitions
    ]
    return {
        "student": arms * student.bytes / divided + gathered,
        "optimiser state": float(arms * student.state_bytes / divided),
        "normalisers": float(arms * student.space_bytes),
        "teachers": float(_teachers_held(work, name, crews)),
        "teachers' activations": max(_teacher_activations(work, group, machine) for group in groups),
        "gradients": student.trained_bytes / divided,
        "bfloat16 copies": student.bytes / 2 if number == "bfloat16" else 0.0,
        "student's activations": max(
            sum(
                WIDTH[number] * part.student.saved_bytes * min(images, work.microbatch or images)
                for part, images in group
            )
            for group in groups
        ),
    }


def _share(stage: StageWork, part: PartitionWork, ranks: int, crews: Crews | None) -> float:
    """Images of a partition of its own in one step of one rank."""
    even = max(1.0, ranks / len(stage.partitions))
    return part.images / (even if crews is None else len(crews[stage.name][part.name]))


def _teachers_held(work: Workload, name: str, crews: Crews | None) -> int:
    """Of all stages, whose teachers are there from the start; several image sizes of one share their weights."""
    first = {ranks.start for of_stage in (crews or {}).values() for ranks in of_stage.values()}
    held: dict[str | int, dict[str, int]] = {}
    for stage in work.stages:
        for part in stage.partitions:
            alike: list[str | int] = [part.name if name == "teacher_partition" else "all"]
            if name == "teacher_partition" and crews is not None:
                alike = [rank for rank in first if rank in crews[stage.name][part.name]]
            for of_rank in (held.setdefault(key, {}) for key in alike):
                for teacher in part.teachers:
                    of_rank[teacher.name] = max(teacher.bytes, of_rank.get(teacher.name, 0))
    return max(sum(sizes.values()) for sizes in held.values())


def _teacher_activations(work: Workload, parts: Sequence[tuple[PartitionWork, float]], machine: Machine) -> float:
    sizes = [0.0]
    for part, images in parts:
        most = CHUNK_ON_CPU if machine.device.name == "cpu" else work.teacher_microbatch
        at_a_time = min(images, most or images)
        for teacher in part.teachers:
            number = machine.device.number("float32" if teacher.number == "float32" else work.teacher_precision)
            sizes.append(at_a_time * WIDTH[number] * teacher.forward.peak_bytes)
    return max(sizes)
