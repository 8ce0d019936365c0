"""Runs the jobs of a sweep, group by group."""

import gc
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from phis_lab.sweeps.grouping import group_jobs, why_apart
from phis_lab.tracking.job import Job, varied_keys

log = logging.getLogger(__name__)

GROUP_VARIABLE = "PHIS_LAB_GROUP"
"""Tells the further processes of a data-parallel group, which run the whole command again, which group is theirs."""

Train = Callable[[Sequence[Job], Mapping[Path, str]], None]


def launch(jobs: Sequence[Job], train: Train) -> dict[Path, Exception]:
    """Train every unfinished job; a group that breaks does not keep the others from running.

    Args:
        jobs: in the order of the sweep.
        train: trains a group of jobs, given their labels by folder.

    Returns:
        What went wrong, by folder.
    """
    labels = _labels(jobs)
    pending = [job for job in jobs if not job.is_complete]
    if len(pending) < len(jobs):
        log.info("%d of %d jobs are complete already.", len(jobs) - len(pending), len(jobs))
    groups = group_jobs(pending)
    _explain(groups)
    failures: dict[Path, Exception] = {}
    mine = os.environ.get(GROUP_VARIABLE)
    for number, group in enumerate(groups):
        name = str(group[0].folder)
        if mine is not None and mine != name:
            continue
        log.info("Group %d of %d: %s", number + 1, len(groups), "; ".join(_describe(job, labels) for job in group))
        try:
            with _environment(**{GROUP_VARIABLE: name}):
                train(group, labels)
        except Exception as error:
            if len(groups) == 1:
                raise
            log.exception("Group %d broke; the others go on.", number + 1)
            failures |= {job.folder: error.with_traceback(None) for job in group}  # which would keep the group alive
        finally:
            gc.collect()  # trainer and module refer to each other, and hold the teachers' features
    return failures


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables, and afterwards undo these and whatever a process launcher set for its children."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _labels(jobs: Sequence[Job]) -> dict[Path, str]:
    varied = varied_keys(jobs)
    return {job.folder: job.label(varied) for job in jobs}


def _describe(job: Job, labels: Mapping[Path, str]) -> str:
    return f"{labels[job.folder]} (seed {job.seed})"


def _explain(groups: Sequence[Sequence[Job]]) -> None:
    if not groups:
        return
    shared = sum(len(group) for group in groups if len(group) > 1)
    log.info("%d jobs in %d groups; %d of them share a teacher pass.", sum(map(len, groups)), len(groups), shared)
    for group in groups[1:]:
        log.info(
            "%s cannot join the first group: they differ in %s.",
            group[0].folder.parent.name,
            why_apart(groups[0][0], group[0]),
        )
