"""What a rank keeps in its memory, by part."""

from collections.abc import Mapping, Sequence

from phis_lab.plan.hardware import Machine
from phis_lab.plan.workload import PartitionWork, Workload

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


def memory_of(work: Workload, machine: Machine, name: str, ranks: int) -> dict[str, float]:
    """Bytes of the fullest rank, by part.

    Args:
        work: what a run computes.
        machine: what computes it.
        name: of the layout.
        ranks: that it uses.
    """
    student, arms = work.student, work.arms
    divided = ranks if name == "fsdp2" else 1
    number = machine.device.number(work.precision)
    flat = 2 if name in ("ddp", "teacher_partition") and ranks > 1 else 1
    gathered = 2 * student.bytes / student.depth if name == "fsdp2" else 0.0
    groups = [
        [part] if name == "teacher_partition" else list(stage.partitions)
        for stage in work.stages
        for part in stage.partitions
    ]
    return {
        "student": arms * student.bytes / divided + gathered,
        "optimiser state": float(arms * student.state_bytes / divided),
        "normalisers": float(arms * student.space_bytes),
        "teachers": float(_teachers_held(work, name)),
        "teachers' activations": max(_teacher_activations(work, group, machine, name, ranks) for group in groups),
        "gradients": flat * student.trained_bytes / divided,
        "bfloat16 copies": student.bytes / 2 if number == "bfloat16" else 0.0,
        "student's activations": max(
            sum(
                WIDTH[number] * part.student.saved_bytes * _images(part, len(group), name, ranks, work)
                for part in group
            )
            for group in groups
        ),
    }


def _teachers_held(work: Workload, name: str) -> int:
    """Of all stages, whose teachers are there from the start; several image sizes of one share their weights."""
    held: dict[str, dict[str, int]] = {}
    for stage in work.stages:
        for part in stage.partitions:
            of_rank = held.setdefault(part.name if name == "teacher_partition" else "all", {})
            for teacher in part.teachers:
                of_rank[teacher.name] = max(teacher.bytes, of_rank.get(teacher.name, 0))
    return max(sum(sizes.values()) for sizes in held.values())


def _teacher_activations(
    work: Workload, parts: Sequence[PartitionWork], machine: Machine, name: str, ranks: int
) -> float:
    sizes = [0.0]
    for part in parts:
        images = _images(part, len(parts), name, ranks, work)
        if machine.device.name == "cpu":
            images = min(images, CHUNK_ON_CPU)
        for teacher in part.teachers:
            number = machine.device.number("float32" if teacher.number == "float32" else work.teacher_precision)
            sizes.append(images * WIDTH[number] * teacher.forward.peak_bytes)
    return max(sizes)


def _images(part: PartitionWork, together: int, name: str, ranks: int, work: Workload) -> float:
    """Of a partition in one step of one rank."""
    if name != "teacher_partition":
        return part.images / ranks
    groups = next(len(stage.partitions) for stage in work.stages if part in stage.partitions)
    return part.images / max(1.0, ranks / groups)
