"""What a step costs in each partition, measured before the first one on the device that will compute it."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from phis_lab import processes
from phis_lab.engine.arm import Arm
from phis_lab.engine.arm_step import in_parts
from phis_lab.engine.stages import Partition, Stage
from phis_lab.features import Features
from phis_lab.seeds import RandomStream
from phis_lab.strategies.balance import Costs, divisors
from phis_lab.teachers import TeacherPool
from phis_lab.teachers.pool import CPU_CHUNK

MOST_IMAGES = 32
"""Of a batch that is timed: enough to keep a GPU busy, and little beside the batches of a run."""
PASSES = 3
"""Of which the fastest counts, after one that warms up."""

Key = tuple[object, ...]
"""Tells what is timed: a teacher or an arm, by its `id`, and on which images."""


def measured_costs(stages: Sequence[Stage], arms: Sequence[Arm], device: torch.device) -> dict[str, Costs]:
    """Seconds of a step, by stage, partition and the number of processes that share its images.

    They are those of the teachers' forward passes and of the forward and backward passes of all students. Every process
    times some of them, and all know the same numbers afterwards. What is timed stays as it was.

    Args:
        stages: whose partitions are to have processes of their own.
        arms: all that will be trained.
        device: of this process.
    """
    partitions = [part for stage in stages for part in stage.partitions.values()]
    passes: dict[Key, Callable[[], float]] = {}
    for part in partitions:
        passes |= _teacher_passes(part, device) | _student_passes(part, arms, device)
    mine = list(enumerate(passes.values()))[processes.rank() :: processes.world_size()]
    said = processes.of_all({number: timed() for number, timed in mine})
    known = {number: seconds for of_one in said for number, seconds in of_one.items()}
    seconds = {key: known[number] for number, key in enumerate(passes)}
    return {
        stage.name: {name: _costs(part, arms, seconds, device) for name, part in stage.partitions.items()}
        for stage in stages
    }


def _costs(
    part: Partition, arms: Sequence[Arm], seconds: Mapping[Key, float], device: torch.device
) -> dict[int, float]:
    """Seconds of a step of a partition by the number of processes, from those of the batch that was timed."""
    teachers, students = (
        sum(seconds[key] for key in passes)
        for passes in (_teacher_passes(part, device), _student_passes(part, arms, device))
    )
    timed = _images(part)
    return {
        number: teachers * _computed(share, device) / _computed(timed, device) + students * share / timed
        for number in divisors(part.batch_size)
        if (share := part.batch_size // number)
    }


def _computed(images: int, device: torch.device) -> int:
    """For how many images teachers compute: on a CPU for whole chunks."""
    return -(-images // CPU_CHUNK) * CPU_CHUNK if device.type == "cpu" else images


def _images(part: Partition) -> int:
    return min(MOST_IMAGES, part.batch_size)


def _teacher_passes(part: Partition, device: torch.device) -> dict[Key, Callable[[], float]]:
    shape = _images(part), 3, part.image_size, part.image_size
    pool = part.train.pool
    return {
        (id(teacher), shape): partial(teacher_seconds, pool.alone(name), shape, device)
        for name, teacher in pool.teachers.items()
    }


def _student_passes(part: Partition, arms: Sequence[Arm], device: torch.device) -> dict[Key, Callable[[], float]]:
    shape, teachers = (_images(part), 3, part.image_size, part.image_size), tuple(part.train.pool.teachers)
    return {
        (id(arm), shape, teachers): partial(student_seconds, arm, shape, part.plan.scale, teachers, device)
        for arm in arms
    }


def teacher_seconds(pool: TeacherPool, shape: Sequence[int], device: torch.device) -> float:
    """Seconds of a pass of teachers, which are on the device only while it lasts.

    Args:
        pool: of its own, so that what it learns of a device's memory is forgotten.
        shape: of the images.
        device: that computes.
    """
    before = next(pool.parameters_of_teachers(), torch.empty(0)).device
    images = torch.full(tuple(shape), 0.5, device=device)
    pool.to(device)
    try:
        return _least_seconds(lambda: pool(images), device)
    finally:
        pool.to(before)


def student_seconds(
    arm: Arm, shape: Sequence[int], scale: float, teachers: Sequence[str], device: torch.device
) -> float:
    """Seconds of a forward and a backward pass of a copy of an arm's student, with random numbers of its own.

    Images that do not fit into memory are halved in number, and their seconds doubled: a run may give a process fewer.

    Args:
        arm: whose student is timed.
        shape: of the images.
        scale: of the partition.
        teachers: whose heads it needs.
        device: that computes.
    """
    student = copy.deepcopy(arm.student).to(device)
    images = torch.full(tuple(shape), 0.5, device=device)

    def predict(part: Tensor) -> dict[str, Features]:
        return arm.predict(part, scale, teachers, student)[1]

    def both() -> None:
        predictions = in_parts(predict, images, arm.microbatch)
        said = [tensor for features in predictions.values() for tensor in features.kinds().values()]
        torch.stack([tensor.square().mean() for tensor in said]).sum().backward()
        student.zero_grad(set_to_none=True)

    with RandomStream(0).active():
        while True:
            try:
                return _least_seconds(both, device) * shape[0] / len(images)
            except torch.OutOfMemoryError:
                if len(images) == 1:
                    raise
            images = images[: len(images) // 2]


def _least_seconds(run: Callable[[], object], device: torch.device) -> float:
    """The fastest of a few passes."""
    seconds = []
    for _ in range(1 + PASSES):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
