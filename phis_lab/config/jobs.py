"""A run as a job: of a composed configuration, in a folder that it goes on from, and built again once it ended."""

import logging
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from phis_lab.config.assemble import assemble
from phis_lab.config.check import check
from phis_lab.config.nodes import is_own_code_missing
from phis_lab.config.resolvers import content_hash, content_of, study, to_plain
from phis_lab.config.sources import changed_since, sources_of
from phis_lab.config.trust import refuse_untrusted, untrusted
from phis_lab.engine import Group, Run, load_checkpoint
from phis_lab.refusals import one_line
from phis_lab.runs import RunRecord, read_record
from phis_lab.runs.job import Job, differences
from phis_lab.runs.record import FILE_NAME
from phis_lab.whole_files import read_text

log = logging.getLogger(__name__)

CONFIG = "config.yaml"

_REMEDY = "use that version, or train the run again with this one"


def create_job(config: DictConfig, folder: str | Path) -> Job:
    """The job of a configuration that still holds Hydra's node."""
    chosen = OmegaConf.to_container(config.hydra.runtime.choices)
    assert isinstance(chosen, dict)
    return Job(
        config=to_plain(config),
        folder=Path(folder),
        choices={str(group): str(option) for group, option in chosen.items() if _is_own(str(group), option)},
        overrides=tuple(config.hydra.overrides.task),
        study=study(_root_=config),
        sha256=content_hash(config),
        command=_command(config.hydra.overrides.task),
        of_hydra=tuple(config.hydra.overrides.hydra),
    )


def _command(overrides: Sequence[str]) -> str:
    """What was typed, or what does the same where submitit's program was handed one job of a sweep."""
    if Path(sys.argv[0]).name == "_submit.py":
        return shlex.join(["python", "run.py", *overrides])
    return shlex.join([*_program(), *sys.argv[1:]])


def _program() -> list[str]:
    file = Path(sys.argv[0])
    if file.name == "__main__.py":
        return ["python", "-m", file.parent.name]
    return ["python", file.name] if file.suffix == ".py" else [file.name]


def _is_own(group: str, option: Any) -> bool:
    return option is not None and not group.startswith("hydra") and "@" not in group


def check_resumable(job: Job) -> None:
    """Refuse to go on from what another run left in the folder, or from other code, files or options.

    Raises:
        ValueError: naming what differs and what to do.
    """
    now = {name: source.sha256 for name, source in sources_of(job.config).items()}
    if load_checkpoint(job.folder, job.sha256, job.seed, now) is None:
        return
    path = job.folder / CONFIG
    if not path.exists():
        return
    try:
        found = yaml.safe_load(read_text(path))
        differing = list(differences(_identity(found), _identity(job.config)))
    except (OSError, yaml.YAMLError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s cannot be read (%s) and is written anew; the checkpoint beside it is of this run.", path, error)
        return
    if differing:
        raise ValueError(
            f"{path} is of another run: {', '.join(differing)} differ; delete {job.folder} to train anew, or choose "
            "another paths.outputs"
        )


def say_complete(job: Job, record: RunRecord) -> None:
    """Log that a run has ended, and loudly what of it is no longer what it was made of."""
    log.info("This run is %s: %s. Delete its folder to run it again.", record.status, job.folder)
    try:
        changed = changed_since(job.config, record.sources)
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        log.warning("Whether its data changed since cannot be told: %s", error)
        return
    if changed:
        log.warning(
            "%s changed since, and the result of %s is of the former. Delete the folder to run it again, or choose "
            "another paths.outputs to have both.",
            ", ".join(changed),
            job.folder,
        )


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    return content_of(config) | {"seed": config["seed"]}


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
    try:
        config: dict[str, Any] = yaml.safe_load(read_text(path)) | {"logger": {}}
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is no run's configuration ({one_line(error)}); bring back a copy of it") from error
    overrides, sha256 = tuple(record.overrides), record.config_sha256
    return Job(config, folder, record.choices, overrides, record.name, sha256, record.command)


def rebuild(jobs: Sequence[Job], trusted: Sequence[str] = ()) -> Group:
    """Teachers, data and arms of finished jobs that share the former two (`runs.group_jobs`), not trained yet.

    Args:
        jobs: of one group.
        trusted: modules that they may name beside the shipped configuration.

    Raises:
        ValueError: the configuration is not trusted or of another version, or the data or a teacher's weights cannot be
            reached.
    """
    for job in jobs:
        check_recorded(job.folder, job.config, trusted)
    return assemble(jobs, {job.folder: read_record(job.folder / FILE_NAME).method for job in jobs})


def restore(group: Group, run: Run) -> None:
    """Give the arm of a rebuilt group's run its trained weights and fitted normalisers, ready to evaluate.

    Raises:
        FileNotFoundError: the run's checkpoint is not there.
        ValueError: it is another run's, was trained with other code, teachers or images, or is of another version of
            this package.
    """
    job, arm = run.job, run.arm
    made_of = {name: source.sha256 for name, source in run.sources.items() if not name.startswith("evaluation.")}
    state = trained_state(job, job.seed, made_of)
    last = group.stages[-1]
    arm.enter(last.name, last.partitions)
    try:
        arm.load_state_dict(state["arm"]["modules"])
    except (KeyError, RuntimeError) as error:
        raise misfit(job.folder, "arm") from error
    arm.eval()


def trained_state(job: Job, seed: int | None = None, made_of: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The checkpoint of a run that has ended; see `load_checkpoint`.

    Raises:
        FileNotFoundError: it is not there.
    """
    state = load_checkpoint(job.folder, job.sha256, seed, made_of, newest=True)
    if state is None:
        raise FileNotFoundError(f"{job.folder} holds no checkpoint: the trained student is gone")
    return state


def check_recorded(folder: Path, config: Mapping[str, Any], trusted: Sequence[str] = ()) -> None:
    """Refuse a finished run whose configuration, or the part that is given, is not trusted or not read by this version.

    Raises:
        ValueError: naming the version that wrote it; or the class of the user's own that is not here.
    """
    if (strange := untrusted(config, trusted)) and all(target.startswith("phis_lab.") for target in strange):
        raise _other_version(folder, f"has no {', '.join(strange)} to configure")
    refuse_untrusted(config, str(folder / CONFIG), trusted)
    try:
        check(config)
    except ValueError as refused:
        if is_own_code_missing(config):
            raise
        _, first, *others = str(refused).split("\n  ")
        problem = re.split(" cannot be imported|;", first)[0]
        more = f", and {len(others)} more" if others else ""
        raise _other_version(folder, f"refuses {problem}{more}") from refused


def _other_version(folder: Path, what: str) -> ValueError:
    """What to say of a run whose configuration this version does not read."""
    return ValueError(
        f"{folder} was written by another version of phis_lab ({_writer(folder)}), or its {CONFIG} was changed: "
        f"this version {what}; {_REMEDY}"
    )


def misfit(folder: Path, part: str) -> ValueError:
    """What to say of a checkpoint that holds other tensors than a part of today has."""
    return ValueError(
        f"the checkpoint in {folder} does not fit this version's {part}: it was written by another version of phis_lab "
        f"({_writer(folder)}), or from another configuration; {_REMEDY}"
    )


def _writer(folder: Path) -> str:
    """The version that a run's record names, by its number and its commit."""
    record = read_record(folder / FILE_NAME)
    commit = "" if record.commit == "unknown" else f", commit {record.commit[:10]}"
    return record.versions.get("phis_lab", "of no number") + commit
