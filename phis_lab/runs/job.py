"""Jobs: a resolved configuration and the folder that it fills, and which of them can share a pass over the data."""

import copy
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phis_lab.groups import GROUPS, NOT_SHARED, facts, without
from phis_lab.runs.record import FILE_NAME, RunRecord, TornRecordError, read_record

log = logging.getLogger(__name__)

_TITLING = {name: group for name, group in GROUPS.items() if group.titles != "never"}


@dataclass(frozen=True)
class Job:
    """What one arm does and where it writes.

    Args:
        config: resolved, as plain dicts and lists.
        folder: named by content, so the same job finds the same folder.
        choices: option chosen in each config group.
        overrides: as composed, for the record.
        study: experiment or sweep.
        sha256: of the configuration without its seed.
        command: what the user typed.
        of_hydra: overrides of Hydra's own node, which it takes to compose a variant of the job.
    """

    config: dict[str, Any]
    folder: Path
    choices: dict[str, str]
    overrides: tuple[str, ...]
    study: str
    sha256: str
    command: str
    of_hydra: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        """Seed of the initialisation, and unless said otherwise of the order of the data."""
        return int(self.config["seed"])

    @property
    def is_complete(self) -> bool:
        """Whether its result stands."""
        return self.result() is not None

    def result(self) -> RunRecord | None:
        """The record in its folder; None where there is none, or one that was cut off, which the run writes anew.

        Raises:
            ValueError: there is a record of another run, or of another version.
        """
        path = self.folder / FILE_NAME
        try:
            record = read_record(path)
        except FileNotFoundError:
            return None
        except TornRecordError as torn:
            log.warning("%s was cut off, so the run goes on and writes it again (%s).", path, torn.__cause__)
            return None
        if (record.seed, record.config_sha256) != (self.seed, self.sha256):
            other = f"seed {record.seed}" if record.seed != self.seed else "another configuration"
            raise ValueError(f"{path} is of {other}, not of this run; move it away, or choose another paths.outputs")
        return record

    def label(self, varied: Sequence[str] = ()) -> str:
        """The method in a table: its label, or the normaliser and what is unusual; then arm options among `varied`."""
        chosen = {name: self.choices.get(name, group.usual) for name, group in _TITLING.items()}
        words = [
            chosen[name] for name, group in _TITLING.items() if group.titles == "always" or chosen[name] != group.usual
        ]
        if self.config.get("label"):
            words = [self.config["label"], *(chosen[name] for name in _TITLING if name in varied)]
        for key, value in as_mapping(self.overrides).items():
            if key in varied and key not in _TITLING and facts(key).of == "arm":
                words.append(f"{key.partition('.')[2] or key} {value}")
        return ", ".join(map(str, words))


def as_mapping(overrides: Sequence[str]) -> dict[str, str]:
    """Overrides as option -> value."""
    return dict(override.lstrip("+").partition("=")[::2] for override in overrides)


def varied_keys(jobs: Sequence[Job]) -> list[str]:
    """Options in whose overrides the jobs differ."""
    values: list[Mapping[str, str]] = [as_mapping(job.overrides) for job in jobs]
    keys = sorted({key for mapping in values for key in mapping})
    return [key for key in keys if len({mapping.get(key) for mapping in values}) > 1]


def group_jobs(jobs: Sequence[Job]) -> list[list[Job]]:
    """Unfinished jobs whose teachers, data, order of samples, batch, statistics, steps and evaluations agree, together.

    How far a job is does not matter: one that was begun earlier joins its group when the others reach its step.
    """
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(json.dumps(shared_part(job), sort_keys=True), []).append(job)
    return list(groups.values())


def shared_part(job: Job) -> dict[str, Any]:
    """The options that arms of one process must have in common."""
    shared = without(job.config, NOT_SHARED)
    shared["stages"] = json.dumps(shared.get("stages"))  # whose order matters
    if shared["teachers"].get("smallest") or shared.get("augmentation", {}).get("shift"):
        shared["student"] = copy.deepcopy(job.config["student"])  # its grid or its patch decides what the teachers see
    return shared


def why_apart(first: Job, second: Job) -> str:
    """The shared options in which two jobs differ, for the log."""
    return ", ".join(differences(shared_part(first), shared_part(second)))


def differences(first: Any, second: Any, path: str = "") -> Iterator[str]:
    """The dotted names of the options in which two configurations differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys()):
            yield from differences(first.get(key), second.get(key), f"{path}.{key}" if path else str(key))
    elif first != second:
        yield path
