"""What options refuse of each other, told before any weights are loaded."""

from collections.abc import Iterable, Mapping, Sequence

import torch

from phis_lab.config.teachers import TeacherOptions
from phis_lab.data import Augmentation, StagePlan
from phis_lab.engine import TrainerOptions
from phis_lab.losses import Balancer
from phis_lab.strategies import DataParallel, Single
from phis_lab.students import Backbone


def refuse_devices(options: TrainerOptions, strategy: Single | DataParallel) -> None:
    """Raise ValueError where a machine has no GPU, or fewer than processes, or a backend that needs one."""
    try:
        device = options.device
    except ValueError as error:
        raise ValueError(f"trainer.{error}") from error
    if not isinstance(strategy, DataParallel):
        return
    if device == "cpu" and strategy.backend == "nccl":
        raise ValueError("strategy.backend=nccl talks between GPUs, and the run is on CPUs; choose gloo or null")
    there = torch.cuda.device_count() if device == "cuda" else strategy.devices
    if strategy.devices > there:
        raise ValueError(
            f"strategy.devices={strategy.devices}, and this machine shows {there} GPU(s), one for each process; "
            f"choose strategy.devices={there}, or trainer.accelerator=cpu"
        )


def refuse_shift(
    augmentation: Augmentation, plans: Mapping[str, StagePlan], backbones: Sequence[Backbone], options: TeacherOptions
) -> None:
    """Raise ValueError unless crops can be shifted by whole tokens that student and teacher have in common."""
    shift, patches = augmentation.shift, sorted({backbone.patch_size for backbone in backbones})
    if options.match != "student":
        raise ValueError("augmentation.shift counts the student's tokens; set teachers.match=student")
    if len(patches) > 1 or shift % patches[0]:
        raise ValueError(f"augmentation.shift={shift} must be a multiple of the students' patch, which is {patches}")
    for partition in (partition for plan in plans.values() for partition in plan.partitions.values()):
        shown = augmentation.resized(partition.scale).image_size
        sides = {backbone.image_size_at(partition.scale) for backbone in backbones}
        if sides != {shown}:
            raise ValueError(
                f"augmentation.shift wants images of the students' own sizes, and those of {shown} px become "
                f"{', '.join(map(str, sorted(sides)))} px; set augmentation.image_size, or another size in stages"
            )
        if shift >= shown:
            raise ValueError(f"augmentation.shift={shift} leaves crops of {shown} px nothing in common; lower it")


def refuse_weights(plans: Mapping[str, StagePlan], balancers: Iterable[Balancer]) -> None:
    """Raise ValueError where weights are listed for the rows of all teachers and a partition shows only some."""
    some = any(isinstance(part.teachers, Mapping) for plan in plans.values() for part in plan.partitions.values())
    if some and any(getattr(balancer, "weights", None) is not None for balancer in balancers):
        raise ValueError("balancer.weights lists the rows of all teachers, and partitions show some; leave it out")


def refuse_unstorable(options: TeacherOptions, augmentation: Augmentation) -> None:
    """Raise ValueError where features would be stored of views that nobody sees again, or on no student's grid."""
    if options.store is not None and options.match != "student":
        raise ValueError("teachers.store keeps features on the students' grids; set teachers.match=student")
    if options.store is not None and augmentation.views is None:
        raise ValueError(
            "teachers.store keeps features of fixed views, and augmentation.views=null draws fresh ones in every "
            "epoch; set augmentation.views to a number, or augmentation=none, or leave teachers.store out"
        )
