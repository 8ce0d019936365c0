"""Finished runs as objects again: their teachers, their data and their trained arms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from phis_lab.config.assemble import assemble
from phis_lab.config.check import check
from phis_lab.config.resume import CONFIG
from phis_lab.engine import Group, load_checkpoint
from phis_lab.tracking import read_record
from phis_lab.tracking.job import Job
from phis_lab.tracking.record import FILE_NAME


def finished_job(folder: Path) -> Job:
    """The job of a run that has ended, from its record and its configuration; it logs nowhere.

    Raises:
        ValueError: the folder holds no result, or one that cannot be read.
        FileNotFoundError: the configuration is not there.
    """
    if not (folder / FILE_NAME).exists():
        raise ValueError(f"{folder} holds no {FILE_NAME}: the run has not ended, or it is no run's folder")
    record, path = read_record(folder / FILE_NAME), folder / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: without it the run cannot be rebuilt")
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) | {"logger": {}}
    overrides, sha256 = tuple(record.overrides), record.config_sha256
    return Job(config, folder, record.choices, overrides, record.name, sha256, record.command)


def rebuild(jobs: Sequence[Job]) -> Group:
    """Teachers, data and arms of finished jobs that share the former two (`sweeps.group_jobs`), not trained yet.

    Raises:
        ValueError: this version refuses an option, or the data or a teacher's weights cannot be reached.
    """
    for job in jobs:
        check(job.config)
    return assemble(jobs, {job.folder: read_record(job.folder / FILE_NAME).method for job in jobs})


def restore(group: Group, key: str) -> None:
    """Give an arm of a rebuilt group its trained weights and fitted normalisers, ready to evaluate.

    Raises:
        FileNotFoundError: the run's checkpoint is not there.
        ValueError: it is another run's, was trained with other code, teachers or images, or is of another version of
            this package.
    """
    job, arm = group.jobs[key], group.arms[key]
    made_of = {name: source.sha256 for name, source in group.sources[key].items() if not name.startswith("evaluation.")}
    state = load_checkpoint(job.folder, job.sha256, job.seed, made_of)
    if state is None:
        raise FileNotFoundError(f"{job.folder} holds no checkpoint: the trained student is gone")
    last = group.stages[-1]
    arm.enter(last.name, last.shares)
    try:
        arm.load_state_dict(state["arm"]["modules"])
    except RuntimeError as error:
        raise ValueError(f"the checkpoint in {job.folder} does not fit this version's arm: {error}") from error
    arm.eval()
