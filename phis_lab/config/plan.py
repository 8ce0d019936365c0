"""The `stages` node: what the steps of a run are divided into."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from phis_lab.config.teachers import TeacherOptions
from phis_lab.data import ONE_STAGE, Augmentation, StagePlan
from phis_lab.losses import Balancer
from phis_lab.students import Backbone


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
        shown = augmentation.resized(partition.size).image_size
        sides = {backbone.image_size_at(partition.size) for backbone in backbones}
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


def read_stages(node: Mapping[str, Any] | None, teachers: Iterable[str]) -> Mapping[str, StagePlan]:
    """The stages by name; one for all steps where none are chosen.

    Args:
        node: `stages` of the resolved configuration.
        teachers: names that a partition may have.

    Raises:
        ValueError: an option has a wrong value, or a teacher is not of the set; with its dotted name.
    """
    if not node:
        return ONE_STAGE
    try:
        plans = TypeAdapter(dict[str, StagePlan]).validate_python(dict(node))
    except ValidationError as error:
        problems = (f"stages.{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors())
        raise ValueError("; ".join(problems)) from error
    known = list(teachers)
    for name, plan in plans.items():
        for key, partition in plan.partitions.items():
            seen = partition.factors(known)
            foreign = [teacher for teacher in seen if teacher not in known]
            if foreign or not seen:
                wrong = f"no teacher is named {', '.join(foreign)}" if foreign else "names no teacher"
                raise ValueError(f"stages.{name}.partitions.{key}.teachers: {wrong}; there are {', '.join(known)}")
    return plans
