"""Which runs may stand in one table: same study, same images, same teachers, same budget."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from phis_lab.groups import facts
from phis_lab.runs import Data, RunRecord


class _Run(NamedTuple):
    record: RunRecord
    folder: Path | None


@dataclass(frozen=True)
class Study:
    """Comparable complete runs: every (method, seed) once, every method a distinct label."""

    title: str
    records: tuple[RunRecord, ...]
    repeats: tuple[str, ...] = ()
    """A sentence for every method and seed of which there are several results."""
    folders: tuple[Path | None, ...] = ()
    """Of the runs, where they are known, in the order of the records."""

    @property
    def teachers(self) -> list[str]:
        """Names of the teachers, in the order of the runs' configuration."""
        return list(self.records[0].teachers)


def group_studies(records: Sequence[RunRecord], folders: Sequence[Path] = ()) -> list[Study]:
    """Splits records into studies; numbers of different studies must not be ranked against each other.

    Where one label stands for arms that differ in a choice or an override, the difference joins the label. Runs that
    have the same method and seed and that nothing tells apart are left out, unless they found the same numbers.

    Args:
        records: of complete runs.
        folders: of the runs, in the same order, by which `Study.repeats` names them.
    """
    groups: dict[tuple[object, ...], list[_Run]] = defaultdict(list)
    for record, folder in zip_longest(records, folders):
        teachers = sorted((name, tuple(sorted(facts.items()))) for name, facts in record.teachers.items())
        data = tuple(tuple(found.model_dump().values()) for found in _data(record))
        groups[record.name, data, tuple(teachers), record.steps, record.images].append(_Run(record, folder))
    titles = [_title(group[0].record) for group in groups.values()]
    studies = []
    for title, group in zip(titles, groups.values(), strict=True):
        fingerprints = ", ".join(found.fingerprint[:8] for found in _data(group[0].record))
        twin = f" (data {fingerprints})" if titles.count(title) > 1 else ""
        kept, repeats = _without_repeats(_distinctly_labelled(group))
        records_kept, where = tuple(run.record for run in kept), tuple(run.folder for run in kept)
        studies.append(Study(title + twin, records_kept, tuple(repeats), where))
    return studies


def _title(record: RunRecord) -> str:
    teachers = f"{len(record.teachers)} teacher" + ("s" if len(record.teachers) != 1 else "")
    budget = f"{record.steps:,} steps, {record.images:,} images seen"
    data = ", measured on ".join(found.name for found in _data(record))
    return f"{record.name}: {data}, {teachers}, {budget}"


def _data(record: RunRecord) -> list[Data]:
    """The data set that a run was trained on, and that of its probes where it is another."""
    return [record.data, *([] if record.evaluation_data is None else [record.evaluation_data])]


def _distinctly_labelled(runs: Sequence[_Run]) -> list[_Run]:
    arms: dict[str, list[dict[str, str]]] = defaultdict(list)
    for record, _ in runs:
        arms[record.method].append(_arm(record))
    labelled = []
    for record, folder in runs:
        same_label, arm = arms[record.method], _arm(record)
        keys = sorted(set().union(*same_label))
        varying = [key for key in keys if len({other.get(key) for other in same_label}) > 1]
        label = ", ".join([record.method, *(f"{key}={arm[key]}" for key in varying if key in arm)])
        labelled.append(_Run(record.model_copy(update={"method": label}), folder))
    return labelled


def _arm(record: RunRecord) -> dict[str, str]:
    """What makes the arm: group choices and value overrides, without the seed and the way it was run."""
    overrides = dict(override.lstrip("+~").partition("=")[::2] for override in record.overrides)
    arm = overrides | record.choices
    return {key: value for key, value in arm.items() if facts(key).method}


def _without_repeats(runs: Sequence[_Run]) -> tuple[list[_Run], list[str]]:
    """The runs of which there is one for a method and a seed, and a sentence for those of which there are several."""
    same: dict[tuple[str, int], list[_Run]] = defaultdict(list)
    for run in runs:
        same[run.record.method, run.record.seed].append(run)
    kept, repeats = [], []
    for (method, seed), found in same.items():
        if len(found) == 1 or all(_numbers(run.record) == _numbers(found[0].record) for run in found):
            kept.append(found[0])
        if len(found) > 1:
            repeats.append(f"{method}, seed {seed} has {len(found)} results: {_told_apart(found)}")
    return kept, repeats


def _told_apart(runs: Sequence[_Run]) -> str:
    """Where several results lie, what differs between them, and what becomes of them."""
    if all(_numbers(run.record) == _numbers(runs[0].record) for run in runs):
        places = " and ".join(str(run.folder or f"commit {run.record.commit}") for run in runs)
        return f"{places}. They hold the same numbers, which count once"
    configurations = {run.record.config_sha256 for run in runs}
    places = " and ".join(_place(run, len(configurations) > 1) for run in runs)
    return f"{places}. Their numbers differ, so none is in the tables; report a folder that holds one of them"


def _place(run: _Run, with_configuration: bool) -> str:
    facts = [f"configuration {run.record.config_sha256[:8]}"] * with_configuration + [f"commit {run.record.commit}"]
    return f"{run.folder} ({', '.join(facts)})" if run.folder else f"a run of {', '.join(facts)}"


def _numbers(record: RunRecord) -> str:
    """What two runs must have in common to be one result; NaN equals itself in text."""
    return record.model_dump_json(include={"metrics", "teacher_metrics"})
