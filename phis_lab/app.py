"""Wires runs: a job, or a group of jobs as the arms of one process, from configuration to record."""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from phis_lab.config.assemble import assemble
from phis_lab.config.check import check
from phis_lab.config.job import create_job
from phis_lab.distill import is_first_process, train_group
from phis_lab.sweeps import launch
from phis_lab.tracking import read_record
from phis_lab.tracking.job import Job
from phis_lab.tracking.record import FILE_NAME

log = logging.getLogger(__name__)

USER_ERRORS = (ValueError, FileNotFoundError, ModuleNotFoundError)
Result = TypeVar("Result")


def main(config: DictConfig) -> None:
    """A solo run: `python run.py ...`."""
    with open_dict(config):
        config.hydra = HydraConfig.get()
    job = create_job(config, config.hydra.runtime.output_dir)
    if job.is_complete:
        record = read_record(job.folder / FILE_NAME)
        log.info("This run is %s: %s. Delete its folder to run it again.", record.status, job.folder)
        if record.failure is not None:
            sys.exit(f"It failed: {record.failure}")
        return
    _with_clear_errors(lambda: train([job], {job.folder: job.label()}))


def train_sweep(jobs: Sequence[Job]) -> dict[Path, Exception]:
    """The jobs of `python run.py -m ...`, group by group; returns what went wrong by folder."""
    return _with_clear_errors(lambda: launch(jobs, train))


def train(jobs: Sequence[Job], labels: Mapping[Path, str]) -> None:
    """Train jobs that see the same batches as arms of one process.

    Raises:
        ValueError: a bad option, before anything was loaded; or every arm diverged.
    """
    for job in jobs:
        check(job.config)
    train_group(assemble(jobs, labels))


def _with_clear_errors(action: Callable[[], Result]) -> Result:
    """What the user can mend is said in a sentence; HYDRA_FULL_ERROR=1 gives the traceback."""
    if not is_first_process():
        logging.getLogger().setLevel(logging.WARNING)
    try:
        return action()
    except USER_ERRORS as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(f"\n{error}\n(HYDRA_FULL_ERROR=1 shows where this was raised.)")
