"""`result.json`: what one run leaves behind, and the only thing that tables and figures read."""

import json
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from phis_lab.refusals import sentence
from phis_lab.whole_files import DamagedFileError, broken_seal, read_json, sealed, write_text

SCHEMA_VERSION = 2
FILE_NAME = "result.json"

Kind = Literal["spatial", "summary"]
TeacherMetrics = dict[str, dict[Kind, dict[str, float]]]
"""Teacher -> kind of feature -> mse, fidelity, fidelity_global, cosine, error_variance_range, cka, ..."""
LOWER_IS_BETTER = frozenset(
    {
        "mse",
        "error_variance_range",
        "error_variance_range_normalized",
        "unexplained_first_half",
        "unexplained_last_tenth",
    }
)
"""Of the teacher-matching metrics; the others (fidelity, cosine, CKA) grow with the match."""


ARROWS = {True: " ↑", False: " ↓", None: ""}
"""Behind the name of a metric: which way is better; by `higher_is_better`."""


class TornRecordError(ValueError):
    """A file that ends too early, as a crash or a full disk leaves it: there is no result in it."""


class _Model(BaseModel):
    """Undeclared fields are refused; NaN and infinities are written as strings: strict JSON."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Metric(_Model):
    """One measured number, with what is needed to compare it."""

    value: float
    unit: str
    higher_is_better: bool | None
    """None for a number that describes a student and makes it neither better nor worse: shown, never ranked."""
    detail: bool = False
    """Shown in a table of its own, not in the main one, and not ranked."""
    floor: float | None = None
    """What a student that knows nothing scores, in the same unit: a constant answer, a coin. None if not known."""


class Data(_Model):
    """The data set of a run: two runs are comparable only when the fingerprints agree."""

    name: str
    fingerprint: str
    train_images: int
    test_images: int


class Source(_Model):
    """Something a run is made of besides its configuration, by content."""

    sha256: str
    stamp: str = ""
    """Of the files that it was read from, such as their sizes and times: while it stays, so does the content."""


class HistoryPoint(_Model):
    """Evaluations taken during training, after `step` optimiser steps."""

    step: int
    teacher_metrics: TeacherMetrics = {}
    metrics: dict[str, float] = {}


class RunRecord(_Model):
    """Everything about one run that a reader of its numbers may ask for.

    A run that diverged or broke is recorded too, with `status="failed"` and the reason in `failure`, so that
    it is reported rather than started again. Its metrics may be NaN or infinite: both survive the file.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    """The study, such as `pocket_methods`."""
    method: str
    """The arm's label in tables, such as `phis`."""
    status: Literal["complete", "failed"] = "complete"
    failure: str | None = None

    choices: dict[str, str]
    overrides: list[str]
    seed: int
    config_sha256: str
    command: str
    commit: str

    data: Data
    evaluation_data: Data | None = None
    """The labelled data set of probes and tasks, where that is not `data`: as above."""
    teachers: dict[str, dict[str, str | int]]
    """Teacher -> source, sha256 and what else identifies its features (layer, image_size)."""
    normalizers: dict[str, dict[str, str]] = {}
    sources: dict[str, Source] = {}
    """Own code, files that options name, weights and images, by what a message calls them."""

    metrics: dict[str, Metric]
    teacher_metrics: TeacherMetrics
    history: list[HistoryPoint] = []

    steps: int
    images: int
    wall_time_s: float
    images_per_s: float
    corrupt_images: int = 0
    versions: dict[str, str]
    device: dict[str, str | int | bool]
    trained_on: dict[str, int] = {}
    """Steps by who took them, such as `2 processes on cpu, 1 thread each`."""

    @model_validator(mode="after")
    def _failure_has_a_reason(self) -> "RunRecord":
        if (self.status == "failed") != (self.failure is not None):
            raise ValueError(
                f"status is {self.status!r} and failure is {self.failure!r}: "
                "a failed run, and only a failed run, gives a reason"
            )
        return self


def write_record(folder: str | Path, record: RunRecord) -> Path:
    """Writes `result.json` whole or not at all: to a temporary file first, then renamed.

    Call it last of all: a folder with a `result.json` is never resumed.
    """
    content = json.loads(record.model_dump_json())
    return write_text(Path(folder) / FILE_NAME, json.dumps(sealed(content), indent=2, ensure_ascii=False) + "\n")


def read_record(path: str | Path) -> RunRecord:
    """Reads one `result.json`.

    Raises:
        ValueError: the file is not whole JSON, is of another schema version, was changed since it was written, or lacks
            or misspells a field.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file: remove it and start the run again")
    try:
        content = read_json(path)
    except DamagedFileError as error:
        raise TornRecordError(f"{error}: remove it and start the run again") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema version {version!r} and this phis_lab reads {SCHEMA_VERSION}: "
            "use the phis_lab that wrote it, or run again"
        )
    if broken_seal(content):
        raise ValueError(
            f"{path} is not what was written, by its sha256: bring back a copy, or remove it and start the run again"
        )
    try:
        return RunRecord.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'record'}: {e['msg']}" for e in error.errors())
        raise ValueError(f"{path} is not a run's record: {problems}") from error


def read_records(folder: str | Path) -> list[RunRecord]:
    """Reads every `result.json` below a folder, in the order of their paths; none is an empty list.

    Raises:
        ValueError: one of them cannot be read.
    """
    return [read_record(path) for path in sorted(Path(folder).rglob(FILE_NAME))]


class Found(NamedTuple):
    """The records below a folder by the folder of their run, and a sentence for every file that is none."""

    records: dict[Path, RunRecord]
    unreadable: list[str]


def find_records(folder: str | Path) -> Found:
    """Reads what can be read of the `result.json` files below a folder, in the order of their paths."""
    found = Found({}, [])
    for path in sorted(Path(folder).rglob(FILE_NAME)):
        try:
            found.records[path.parent] = read_record(path)
        except (ValueError, OSError) as error:
            found.unreadable.append(sentence(error))
    return found


def unfinished_runs(folder: str | Path) -> list[Path]:
    """Folders that a run began to fill (a `config.yaml` or a checkpoint) and that hold no `result.json` yet.

    What lies inside a run's folder belongs to that run, and a folder of finished runs is not a run itself.
    """
    root = Path(folder)
    done = {path.parent for path in root.rglob(FILE_NAME) if path.stat().st_size}
    markers = [*root.rglob("config.yaml"), *root.rglob("*.ckpt")]
    begun = {m.parent.parent if m.parent.name in {".hydra", "checkpoints"} else m.parent for m in markers}
    begun = {run for run in begun if not any(run.is_relative_to(d) or d.is_relative_to(run) for d in done)}
    return sorted(run for run in begun if not begun & set(run.parents))
