"""Arms as the evaluations see them that bring data of their own."""

from collections.abc import Iterator
from typing import Literal

import torch

from phis_lab.engine.arm import Arm
from phis_lab.engine.stages import Partition
from phis_lab.evals.subject import Images, Subject
from phis_lab.features import Features


def subject_of(arm: Arm, partition: Partition, device: torch.device, needs_labels: bool = True) -> Subject:
    """An arm in evaluation mode, beside the teachers of one partition and at its image size.

    Args:
        arm: the student.
        partition: the partition.
        device: where images have to be.
        needs_labels: refuse images without labels; otherwise theirs is -1.
    """
    scale = partition.plan.scale
    grid = arm.grid_at(scale)

    def tokens(images: Images) -> Features:
        return arm.predict(images, scale, teachers=())[0]

    def teachers(images: Images) -> dict[str, Features]:
        return dict(partition.test(images)[grid])

    def predictions(images: Images) -> dict[str, Features]:
        names = partition.test.pool.teachers
        said = arm.predict(images, scale, tuple(names))[1]
        spaces = {name: arm.space(name) for name in said}
        return {name: space.restored(said[name]) for name, space in spaces.items() if space.is_invertible}

    def labelled(split: Literal["train", "test"], count: int) -> Iterator[tuple[Images, torch.Tensor]]:
        for images, labels in partition.loader(split, count, needs_labels):
            yield images.to(device), labels.to(device)

    backbone = arm.student.backbone
    return Subject(tokens, predictions, teachers, labelled, partition.image_size, device, backbone, partition.classes)
