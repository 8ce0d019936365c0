"""Whether what lies in a run's folder is of this very run: asked before teachers and images are loaded."""

import logging
from collections.abc import Mapping
from typing import Any

import yaml

from phis_lab.config.resolvers import content_of
from phis_lab.config.sources import changed_since, sources_of
from phis_lab.tracking import RunRecord
from phis_lab.tracking.job import Job

log = logging.getLogger(__name__)

CONFIG = "config.yaml"


def check_resumable(job: Job) -> None:
    """Refuse to go on from what another run left in the folder, or from other code, files or options.

    Raises:
        ValueError: naming what differs and what to do.
    """
    from phis_lab.engine import load_checkpoint  # noqa: PLC0415  torch

    now = {name: source.sha256 for name, source in sources_of(job.config).items()}
    if load_checkpoint(job.folder, job.sha256, job.seed, now) is None:
        return
    path = job.folder / CONFIG
    if not path.exists():
        return
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        differing = _differences(_identity(found), _identity(job.config), "")
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no run's configuration ({error}); delete {job.folder} to train anew") from error
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


def _differences(first: Any, second: Any, path: str) -> list[str]:
    """The dotted names of the options in which two configurations differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = sorted(first.keys() | second.keys())
        return [
            name
            for key in keys
            for name in _differences(first.get(key), second.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [] if first == second else [path]
