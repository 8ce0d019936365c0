"""The `stages` node: what the steps of a run are divided into."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from phis_lab.data import ONE_STAGE, StagePlan


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
            foreign = [teacher for teacher in partition.teachers or () if teacher not in known]
            if foreign or (partition.teachers is not None and not partition.teachers):
                wrong = f"no teacher is named {', '.join(foreign)}" if foreign else "names no teacher"
                raise ValueError(f"stages.{name}.partitions.{key}.teachers: {wrong}; there are {', '.join(known)}")
    return plans
