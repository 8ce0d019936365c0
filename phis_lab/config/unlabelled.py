"""Runs on images without labels, or without test images: teacher matching is their evaluation unless one was chosen."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from phis_lab.config.jobs import create_job
from phis_lab.config.resolvers import run_name
from phis_lab.data import UnlabelledError
from phis_lab.groups import GROUPS
from phis_lab.runs.job import Job

log = logging.getLogger(__name__)

ALONE = "matching"
AMOUNTS = tuple(f"evaluation.{option}" for option in ("every", "train_images", "test_images", "matching_images"))


def by_matching_alone(
    jobs: Sequence[Job], labels: Mapping[Path, str], refused: UnlabelledError
) -> tuple[list[Job], dict[Path, str]]:
    """The jobs as if `evaluation=matching` had been typed: in their choices, their hash and their folder's name.

    Args:
        jobs: that were refused for their evaluation, which needs labels or test images.
        labels: method of each job, by folder.
        refused: the reason.

    Returns:
        The other jobs and their labels.

    Raises:
        UnlabelledError: the user chose an evaluation.
    """
    if any(chose_evaluation(job) for job in jobs):
        raise refused
    changed = [_recomposed(job) for job in jobs]
    if any(job.config["evaluation"].get(chosen) for job in changed for chosen in ("probes", "tasks")):
        raise refused
    log.info(
        "No evaluation was chosen, so teachers are matched and nothing else (evaluation=matching): %s.", refused.why
    )
    return changed, {new.folder: labels[old.folder] for old, new in zip(jobs, changed, strict=True)}


def chose_evaluation(job: Job) -> bool:
    """Whether the user said what a run is measured by, and not only how often and on how many images."""
    keys = [override.lstrip("+~").partition("=")[0] for override in job.overrides]
    named = [key for key in keys if key.partition(".")[0].rpartition("@")[2] == "evaluation" and key not in AMOUNTS]
    return bool(named) or "task" in keys or job.choices.get("evaluation") != GROUPS["evaluation"].usual


def _recomposed(job: Job) -> Job:
    overrides = [*job.of_hydra, *job.overrides, f"evaluation={ALONE}"]
    config = GlobalHydra.instance().config_loader().load_configuration("config", overrides, RunMode.RUN)
    if HydraConfig.initialized():  # Lightning starts further processes in the folder that this names
        HydraConfig.instance().set_config(config)
    _leave(job.folder)
    return create_job(config, _renamed(job, config))


def _renamed(job: Job, config: DictConfig) -> Path:
    """Where the other job writes: there, but for the part of the path that tells the content."""
    new = run_name(_root_=config)
    return Path(*(new if part.endswith(f"-{job.sha256[:8]}") else part for part in job.folder.parts))


def _leave(folder: Path) -> None:
    """Remove a run's folder that nothing was written into."""
    with suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()
