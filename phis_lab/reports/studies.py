"""Which runs may stand in one table: same study, same images, same teachers, same budget."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from phis_lab.tracking import RunRecord

_NOT_THE_METHOD = {
    "callbacks",
    "debug",
    "experiment",
    "hydra",
    "logger",
    "paths",
    "seed",
    "strategy",
    "sweep",
    "trainer",
}


@dataclass(frozen=True)
class Study:
    """Comparable complete runs: every (method, seed) once, every method a distinct label."""

    title: str
    records: tuple[RunRecord, ...]

    @property
    def teachers(self) -> list[str]:
        """Names of the teachers, in the order of the runs' configuration."""
        return list(self.records[0].teachers)


def group_studies(records: Sequence[RunRecord]) -> list[Study]:
    """Splits records into studies; numbers of different studies must not be ranked against each other.

    Where one label stands for arms that differ in a choice or an override, the difference joins the label.

    Raises:
        ValueError: two runs have the same method and seed and nothing tells them apart.
    """
    groups: dict[tuple[object, ...], list[RunRecord]] = defaultdict(list)
    for record in records:
        teachers = sorted((name, tuple(sorted(facts.items()))) for name, facts in record.teachers.items())
        data = tuple(record.data.model_dump().values())
        groups[record.name, data, tuple(teachers), record.steps, record.images].append(record)
    titles = [_title(group[0]) for group in groups.values()]
    studies = []
    for title, group in zip(titles, groups.values(), strict=True):
        twin = f" (data {group[0].data.fingerprint[:8]})" if titles.count(title) > 1 else ""
        studies.append(Study(title + twin, tuple(_distinctly_labelled(group))))
        _refuse_repeats(studies[-1])
    return studies


def _title(record: RunRecord) -> str:
    teachers = f"{len(record.teachers)} teacher" + ("s" if len(record.teachers) != 1 else "")
    budget = f"{record.steps:,} steps, {record.images:,} images seen"
    return f"{record.name}: {record.data.name}, {teachers}, {budget}"


def _distinctly_labelled(records: Sequence[RunRecord]) -> list[RunRecord]:
    arms: dict[str, list[dict[str, str]]] = defaultdict(list)
    for record in records:
        arms[record.method].append(_arm(record))
    labelled = []
    for record in records:
        same_label, arm = arms[record.method], _arm(record)
        keys = sorted(set().union(*same_label))
        varying = [key for key in keys if len({other.get(key) for other in same_label}) > 1]
        label = ", ".join([record.method, *(f"{key}={arm[key]}" for key in varying if key in arm)])
        labelled.append(record.model_copy(update={"method": label}))
    return labelled


def _arm(record: RunRecord) -> dict[str, str]:
    """What makes the arm: group choices and value overrides, without the seed and the way it was run."""
    overrides = dict(override.lstrip("+~").partition("=")[::2] for override in record.overrides)
    arm = overrides | record.choices
    return {key: value for key, value in arm.items() if re.split(r"[./]", key)[0] not in _NOT_THE_METHOD}


def _refuse_repeats(study: Study) -> None:
    seen: dict[tuple[str, int], RunRecord] = {}
    for record in study.records:
        first = seen.setdefault((record.method, record.seed), record)
        if first is not record:
            raise ValueError(
                f"{study.title}: method {record.method!r}, seed {record.seed} has two results, of commits "
                f"{first.commit} and {record.commit}: report a folder that holds one of them"
            )
