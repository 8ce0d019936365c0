"""Runs the jobs of a sweep, group by group."""

import gc
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from phis_lab.refusals import REFUSALS, sentence, wants_traceback
from phis_lab.runs.job import Job, group_jobs, varied_keys, why_apart
from phis_lab.runs.lock import RunLockedError, run_lock
from phis_lab.runs.record import RunRecord

log = logging.getLogger(__name__)

GROUP_VARIABLE = "PHIS_LAB_GROUP"
"""Tells the further processes of a data-parallel group, which run the whole command again, which jobs are theirs."""

Train = Callable[[Sequence[Job], Mapping[Path, str]], None]
SayComplete = Callable[[Job, RunRecord], None]


def launch(
    jobs: Sequence[Job], train: Train, say_complete: SayComplete = lambda job, record: None
) -> dict[Path, Exception]:
    """Train every unfinished job; what cannot be trained does not keep the others from running.

    Args:
        jobs: in the order of the sweep.
        train: trains a group of jobs, given their labels by folder.
        say_complete: is told of every job that is complete already.

    Returns:
        What went wrong, by folder.
    """
    given, jobs = len(jobs), list({job.folder: job for job in jobs}.values())
    if len(jobs) < given:
        log.info("%d jobs are the same as others of this sweep, and train once.", given - len(jobs))
    labels = _labels(jobs)
    if GROUP_VARIABLE in os.environ:
        mine = json.loads(os.environ[GROUP_VARIABLE])
        train([job for job in jobs if str(job.folder) in mine], labels)
        return {}
    failures: dict[Path, Exception] = {}
    groups = group_jobs(_pending(jobs, failures, say_complete))
    _explain(groups)
    for number, group in enumerate(groups):
        free: list[Job] = []
        try:
            with ExitStack() as locks:
                free = _free(group, labels, locks, failures)
                if free:
                    named = "; ".join(_describe(job, labels) for job in free)
                    log.info("Group %d of %d: %s", number + 1, len(groups), named)
                    with _environment(**{GROUP_VARIABLE: json.dumps([str(job.folder) for job in free])}):
                        train(free, labels)
        except Exception as error:
            if len(groups) == 1 and not failures:
                raise
            _tell(number + 1, error)
            broken = free or group
            failures |= {job.folder: error.with_traceback(None) for job in broken}  # which would keep the group alive
        finally:
            gc.collect()  # trainer and module refer to each other, and hold the teachers' features
    return failures


def _pending(jobs: Sequence[Job], failures: dict[Path, Exception], say_complete: SayComplete) -> list[Job]:
    """Jobs that are not complete; a folder with the result of another run goes to the failures."""
    pending = []
    for job in jobs:
        try:
            record = job.result()
        except ValueError as error:
            failures[job.folder] = error
            continue
        if record is None:
            pending.append(job)
        else:
            say_complete(job, record)
    complete = len(jobs) - len(pending) - len(failures)
    if complete:
        log.info("%d of %d jobs are complete already.", complete, len(jobs))
    return pending


def _free(
    group: Sequence[Job], labels: Mapping[Path, str], locks: ExitStack, failures: dict[Path, Exception]
) -> list[Job]:
    """Jobs of a group whose folders no other process fills, locked; those of others go to the failures."""
    free = []
    for job in group:
        try:
            locks.enter_context(run_lock(job.folder))
        except RunLockedError as error:
            log.warning("%s is left out: %s", _describe(job, labels), error)
            failures[job.folder] = error
        else:
            if not job.is_complete:  # by another process, since the sweep began
                free.append(job)
    return free


def _tell(number: int, error: Exception) -> None:
    """Log why a group broke: what the user can mend in a sentence, an error of this package with its traceback."""
    if isinstance(error, REFUSALS) and not wants_traceback():
        log.error("Group %d cannot be trained; the others go on. %s", number, sentence(error))
    else:
        log.error("Group %d broke; the others go on.", number, exc_info=error)


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
