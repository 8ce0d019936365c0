"""One job: a resolved configuration, where it came from, and the folder that it fills."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phis_lab.tracking.record import FILE_NAME, RunRecord, TornRecordError, read_record

log = logging.getLogger(__name__)

ARM_KEYS = ("student", "head", "normalizer", "loss", "balancer", "optimizer")
"""Config groups that an arm chooses for itself; everything else is shared by the arms of a process."""

USUAL = {"loss": "mse", "balancer": "uniform", "head": "mlp"}


@dataclass(frozen=True)
class Job:
    """What one arm does and where it writes.

    Args:
        config: resolved, as plain dicts and lists.
        folder: named by content, so the same job finds the same folder.
        choices: option chosen in each config group.
        overrides: as typed, for the record.
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
        unusual = [self.choices[group] for group, usual in USUAL.items() if self.choices.get(group, usual) != usual]
        words = [self.choices["normalizer"], *unusual]
        if self.config.get("label"):
            words = [self.config["label"], *(self.choices[key] for key in ("normalizer", *USUAL) if key in varied)]
        for key, value in as_mapping(self.overrides).items():
            group, _, option = key.partition(".")
            if key in varied and group in ARM_KEYS and (option or group not in ("normalizer", *USUAL)):
                words.append(f"{option or group} {value}")
        return ", ".join(words)


def as_mapping(overrides: Sequence[str]) -> dict[str, str]:
    """Overrides as option -> value."""
    return dict(override.lstrip("+").partition("=")[::2] for override in overrides)


def varied_keys(jobs: Sequence[Job]) -> list[str]:
    """Options in whose overrides the jobs differ."""
    values: list[Mapping[str, str]] = [as_mapping(job.overrides) for job in jobs]
    keys = sorted({key for mapping in values for key in mapping})
    return [key for key in keys if len({mapping.get(key) for mapping in values}) > 1]
