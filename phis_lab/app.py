"""Wires runs: a job, or a group of jobs as the arms of one process, from configuration to record."""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from phis_lab.config.assemble import assemble
from phis_lab.config.build import build
from phis_lab.config.check import check
from phis_lab.config.jobs import check_resumable, create_job, say_complete
from phis_lab.config.sound import remarks
from phis_lab.config.unlabelled import by_matching_alone
from phis_lab.data import DataSource, UnlabelledError
from phis_lab.engine import train_group
from phis_lab.lifelines import end_with_launcher
from phis_lab.refusals import REFUSALS, sentence, told
from phis_lab.runs import RunRecord, launch
from phis_lab.runs.ending import ending, say_next
from phis_lab.runs.job import Job
from phis_lab.runs.lock import is_first_process, run_lock

log = logging.getLogger(__name__)


def main(config: DictConfig) -> None:
    """A solo run: `python run.py ...`."""
    with open_dict(config):
        config.hydra = HydraConfig.get()
    for remark in remarks(config):
        log.warning("%s.", remark)
    job = create_job(config, config.hydra.runtime.output_dir)
    with _quiet_but_first(), ending([job]):
        record = train_solo(job)
        say_next([job])
    if record is not None and record.failure is not None:
        sys.exit(f"It failed: {record.failure}")


def train_solo(job: Job) -> RunRecord | None:
    """Train a job, unless it is complete: then its record is returned."""
    record = job.result()
    if record is None:
        with run_lock(job.folder):
            record = job.result()  # which another process may have written before it let the folder go
            if record is None:
                train([job], {job.folder: job.label()})
                return None
    say_complete(job, record)
    return record


def train_sweep(jobs: Sequence[Job]) -> dict[Path, Exception]:
    """The jobs of `python run.py -m ...`, group by group; returns what went wrong by folder."""
    with _quiet_but_first(), ending(jobs):
        failures = launch(jobs, train, say_complete)
        if len(failures) < len(jobs):
            say_next(jobs)
    if failures and all(isinstance(error, REFUSALS) for error in failures.values()):
        reasons = dict.fromkeys(map(sentence, failures.values()))
        sys.exit("\n".join([f"\n{len(failures)} of {len(jobs)} jobs were not trained:", *reasons]))
    if is_first_process():  # a launcher takes the others' codes for a crash
        _say_failed(jobs)
    return failures


def _say_failed(jobs: Sequence[Job]) -> None:
    """End with code 1 and a line where runs of a sweep failed, whose records say why."""
    records = [record for job in jobs if (record := job.result()) is not None]
    failed = [f"{record.method}, seed {record.seed}" for record in records if record.failure is not None]
    if failed:
        sys.exit(f"\n{len(failed)} of {len(jobs)} runs failed: {'; '.join(failed)}. Their records say why.")


def train(jobs: Sequence[Job], labels: Mapping[Path, str], source: DataSource | None = None) -> None:
    """Train jobs that see the same batches as arms of one process.

    Args:
        jobs: that agree in everything shared.
        labels: method of each job, by folder.
        source: their data where these were read already.

    Raises:
        ValueError: a bad option, before anything was loaded; or every arm diverged.
    """
    for job in jobs:
        check(job.config)
    for job in jobs:
        check_resumable(job)
    source = build(jobs[0].config["data"], "data") if source is None else source
    try:
        group = assemble(jobs, labels, source)
    except UnlabelledError as refused:
        _train_matched(*by_matching_alone(jobs, labels, refused), source)
    else:
        train_group(group)


def _train_matched(jobs: Sequence[Job], labels: Mapping[Path, str], source: DataSource) -> None:
    """Train what `evaluation=matching` makes of jobs on the same data, in the folders that have its name."""
    with ExitStack() as locks:
        for job in jobs:
            locks.enter_context(run_lock(job.folder))
        results = {job.folder: job.result() for job in jobs}
        for job in jobs:
            if (record := results[job.folder]) is not None:
                say_complete(job, record)
        if pending := [job for job in jobs if results[job.folder] is None]:
            train(pending, labels, source)


@contextmanager
def _quiet_but_first() -> Iterator[None]:
    """Of the processes that train together the first alone logs; what the user can mend is told in a sentence."""
    if not is_first_process():
        logging.getLogger().setLevel(logging.WARNING)
        end_with_launcher()
    with told():
        yield
