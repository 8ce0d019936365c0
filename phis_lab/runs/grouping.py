"""Which jobs can share a data pass and a teacher pass."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from phis_lab.groups import NOT_SHARED, without
from phis_lab.runs.job import Job


def group_jobs(jobs: Sequence[Job]) -> list[list[Job]]:
    """Unfinished jobs whose teachers, data, order of samples, batch, statistics, steps and evaluations agree, together.

    How far a job is does not matter: one that was begun earlier joins its group when the others reach its step.
    """
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(json.dumps(shared_part(job), sort_keys=True), []).append(job)
    return list(groups.values())


def shared_part(job: Job) -> dict[str, Any]:
    """The options that arms of one process must have in common."""
    shared = without(job.config, NOT_SHARED)
    shared["stages"] = json.dumps(shared.get("stages"))  # whose order matters
    if shared["teachers"].get("smallest") or shared.get("augmentation", {}).get("shift"):
        shared["student"] = copy.deepcopy(job.config["student"])  # its grid or its patch decides what the teachers see
    return shared


def why_apart(first: Job, second: Job) -> str:
    """The shared options in which two jobs differ, for the log."""
    return ", ".join(_differences(shared_part(first), shared_part(second), ""))


def _differences(first: Any, second: Any, path: str) -> Iterator[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys()):
            yield from _differences(first.get(key), second.get(key), f"{path}.{key}" if path else str(key))
    elif first != second:
        yield path
