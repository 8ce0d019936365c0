"""Which jobs can share a data pass and a teacher pass."""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from phis_lab.tracking.job import ARM_KEYS, Job

PRIVATE_KEYS = (*ARM_KEYS, "seed", "logger", "paths")
PRIVATE_TRAINER_KEYS = ("precision",)


def group_jobs(jobs: Sequence[Job], start_step: Callable[[Job], int]) -> list[list[Job]]:
    """Jobs whose teachers, data, order of samples, batch, statistics, steps and evaluations agree, together.

    Args:
        jobs: unfinished jobs.
        start_step: where a job goes on; jobs at different steps need different batches.
    """
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        key = json.dumps([shared_part(job), start_step(job)], sort_keys=True)
        groups.setdefault(key, []).append(job)
    return list(groups.values())


def shared_part(job: Job) -> dict[str, Any]:
    """The options that arms of one process must have in common."""
    shared = {key: copy.deepcopy(value) for key, value in job.config.items() if key not in PRIVATE_KEYS}
    for key in PRIVATE_TRAINER_KEYS:
        shared["trainer"].pop(key, None)
    return shared


def why_apart(first: Job, second: Job) -> str:
    """The shared options in which two jobs differ, for the log."""
    differing = list(_differences(shared_part(first), shared_part(second), ""))
    return ", ".join(differing) or "the step at which they resume"


def _differences(first: Any, second: Any, path: str) -> Iterator[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys()):
            yield from _differences(first.get(key), second.get(key), f"{path}.{key}" if path else str(key))
    elif first != second:
        yield path
