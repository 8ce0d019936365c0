"""`progress.json`: how far a run is that has not ended yet, for reports made while it trains."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from phis_lab.runs.record import TeacherMetrics
from phis_lab.whole_files import read_text, write_text

PROGRESS_FILE = "progress.json"


class RunProgress(BaseModel):
    """An unfinished run, as its process saw it last.

    Attributes:
        name: the study.
        method: the arm's label in tables.
        step: optimisation steps done, of `max_steps`.
        loss: of the last step, in the normalised space; None before the first.
        scored_at: step of the newest evaluation, whose numbers follow; None before the first.
        units: of the metrics.
        updated: when this was written, in UTC.
        choices: option by config group.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    name: str
    method: str
    seed: int
    step: int
    max_steps: int
    images_per_s: float
    loss: float | None = None
    scored_at: int | None = None
    metrics: dict[str, float] = {}
    units: dict[str, str] = {}
    teacher_metrics: TeacherMetrics = {}
    updated: datetime
    choices: dict[str, str] = {}


def write_progress(folder: Path, progress: RunProgress) -> None:
    """Replaces the folder's `progress.json`; a reader never sees half of one."""
    write_text(folder / PROGRESS_FILE, progress.model_dump_json(indent=2) + "\n")


def read_progress(folder: Path) -> RunProgress | None:
    """What a run said last, or None where it said nothing that can be read."""
    try:
        return RunProgress.model_validate_json(read_text(folder / PROGRESS_FILE))
    except (OSError, ValueError):  # pydantic's too
        return None


def now() -> datetime:
    """The time of an update, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
