"""A composed configuration as a job."""

import shlex
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from phis_lab.config.resolvers import content_hash, study, to_plain
from phis_lab.tracking.job import Job


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
        command=shlex.join([*_program(), *sys.argv[1:]]),
        of_hydra=tuple(config.hydra.overrides.hydra),
    )


def _program() -> list[str]:
    file = Path(sys.argv[0])
    if file.name == "__main__.py":
        return ["python", "-m", file.parent.name]
    return ["python", file.name] if file.suffix == ".py" else [file.name]


def _is_own(group: str, option: Any) -> bool:
    return option is not None and not group.startswith("hydra") and "@" not in group
