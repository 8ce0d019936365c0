"""What a command that trained says last: where its runs are, and what to type next."""

import logging
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from phis_lab.runs.job import Job
from phis_lab.runs.record import FILE_NAME, RunRecord, read_record
from phis_lab.slurm import hand_over

log = logging.getLogger(__name__)

SIGNALLED = 128
"""Exit codes above are of processes that a signal ended."""


@contextmanager
def ending(jobs: Sequence[Job]) -> Iterator[None]:
    """Say where the runs of a command are and what to type next, once they have ended, failed or were stopped.

    Args:
        jobs: of the command.
    """
    try:
        yield
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > SIGNALLED:
            place = folder_of(jobs)
            log.warning("How far it is: phis-lab runs %s. To go on: %s", _typed(place), jobs[0].command)
            hand_over(end.code - SIGNALLED)
        raise
    except Exception:
        if _records(jobs):
            say_next(jobs)
        raise


def say_next(jobs: Sequence[Job]) -> None:
    """Name the folder of runs that have ended, and the command that shows what came out."""
    records, place = _records(jobs), folder_of(jobs)
    runs = "The run is" if len(jobs) == 1 else f"The {len(jobs)} runs are"
    nothing_measured = bool(records) and all(record.failure is not None for record in records)
    log.info("%s in %s. Next: phis-lab %s %s", runs, place, "runs" if nothing_measured else "report", _typed(place))


def folder_of(jobs: Sequence[Job]) -> Path:
    """The folder of the only run, or the one that holds all of them; where none has ended it is that of the study."""
    folders = [job.folder for job in jobs]
    if len(folders) == 1 and (folders[0] / FILE_NAME).exists():
        return folders[0]
    return Path(os.path.commonpath([folder.parent.parent for folder in folders]))


def _records(jobs: Sequence[Job]) -> list[RunRecord]:
    records = []
    for job in jobs:
        with suppress(OSError, ValueError):
            records.append(read_record(job.folder / FILE_NAME))
    return records


def _typed(path: Path) -> str:
    return shlex.quote(str(path))
