"""One run: the job of an arm, and all that happens to it from its start to its record."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import BaseModel, Field, TypeAdapter

from phis_lab.engine.arm import Arm
from phis_lab.engine.arm_checkpoint import CHECKPOINT, PREVIOUS, load_checkpoint
from phis_lab.engine.evaluation import Scores
from phis_lab.evals.tasks.pictures import read_pictures, stamp_of_pictures
from phis_lab.runs import RunRecord, Source, write_record
from phis_lab.runs.job import Job
from phis_lab.runs.lock import LOCK_FILE
from phis_lab.runs.loggers import LoggerSet, RunInfo
from phis_lab.runs.record import FILE_NAME
from phis_lab.whole_files import remove_parts, write_text

log = logging.getLogger(__name__)


class Failure(NamedTuple):
    """When and why an arm was stopped."""

    step: int
    reason: str


class Start(NamedTuple):
    """Where an arm goes on, and in which state its checkpoint left it and the statistics of its grid."""

    step: int = 0
    arm: Mapping[str, Any] | None = None
    estimation: Mapping[str, Any] = {}


class _Counted(BaseModel, strict=True):
    """What a resumed run goes on counting from; see the attributes of `Run`."""

    history: list[dict[str, Any]]
    units: dict[str, str]
    logged: list[tuple[int, dict[str, float]]]
    seconds: float
    train_seconds: float
    images_seen: int
    corrupt_names: list[str]
    trained_on: dict[str, int]


_STEP = TypeAdapter(Annotated[int, Field(strict=True, ge=0)])
_STATE = TypeAdapter(Annotated[dict[str, Any], Field(strict=True)])


@dataclass
class Run:
    """A job with its arm, its folder, its loggers and what was measured so far, over all its restarts.

    Attributes:
        key: a name that no other run of its group has.
        label: its method in tables.
        job: what it is, and where it writes.
        arm: what trains.
        loggers: its views.
        sources: what it is made of.
        start: where it goes on.
        failure: why it was stopped, if it was.
        loss: of its last step, in the normalised space.
        scores: of its last evaluation, once all steps are done.
        history: evaluations.
        units: of their metrics.
        logged: what the loggers were told, as (step, values).
        seconds: wall time, evaluations included.
        train_seconds: of the steps alone, over which `images_seen` images passed, those of all processes.
        corrupt_names: images that were left out; in every process its own, and in a checkpoint all.
        trained_on: steps by the processes and the kind of device that took them.
        is_new: whether its folder was empty when this process began.
        pictures_shown: when the pictures were written that its views have shown.
    """

    key: str
    label: str
    job: Job
    arm: Arm
    loggers: LoggerSet = field(default_factory=lambda: LoggerSet({}))
    sources: Mapping[str, Source] = field(default_factory=dict)
    start: Start = field(default_factory=Start)
    failure: Failure | None = None
    loss: float | None = None
    scores: Scores | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    logged: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    seconds: float = 0.0
    train_seconds: float = 0.0
    images_seen: int = 0
    corrupt_names: set[str] = field(default_factory=set)
    trained_on: dict[str, int] = field(default_factory=dict)
    is_new: bool = False
    pictures_shown: int = 0

    @property
    def title(self) -> str:
        """Method and seed, for a reader."""
        return f"{self.label}, seed {self.job.seed}"

    @property
    def folder(self) -> Path:
        """Where it writes."""
        return self.job.folder

    @property
    def images_per_s(self) -> float:
        """Images over the seconds of its steps."""
        return self.images_seen / max(self.train_seconds, 1e-9)

    def resume(self) -> None:
        """Go on from the checkpoint, where there is one.

        Raises:
            ValueError: see `load_checkpoint`; or another version of this package wrote it.
        """
        made_of = {name: source.sha256 for name, source in self.sources.items()}
        state = load_checkpoint(self.folder, self.job.sha256, self.job.seed, made_of)
        if state is not None:
            with self.of_this_version():
                self.load_state_dict(state["run"])
                step, arm = _STEP.validate_python(state["step"]), _STATE.validate_python(state["arm"])
                self.start = Start(step, arm, _STATE.validate_python(state["estimation"]))

    def take_up(self) -> None:
        """Give the arm, once it is on its device, the state in which its checkpoint left it.

        Raises:
            ValueError: another version of this package wrote it.
        """
        if self.start.arm is not None:
            with self.of_this_version():
                self.arm.load_training_state(self.start.arm)
            self.start = self.start._replace(arm=None)

    @contextmanager
    def of_this_version(self) -> Iterator[None]:
        """Refuse a checkpoint in a sentence where its content is not what this version writes.

        Raises:
            ValueError: naming the file.
        """
        try:
            yield
        except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.folder / CHECKPOINT} was written by another version of phis_lab, whose state this one does not "
                f"read; go on with that version, or delete it to train this run anew"
            ) from error

    def open(self) -> None:
        """Begin the folder and the views, and tell these what a stopped process had logged before its checkpoint."""
        job = self.job
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_parts(self.folder)
        self.is_new = not any(path.name != LOCK_FILE for path in self.folder.iterdir())
        write_text(self.folder / "config.yaml", yaml.safe_dump(job.config, sort_keys=False))
        self.pictures_shown = stamp_of_pictures(self.folder)
        self.loggers.start(RunInfo.of_arm(self.label, job.seed, job.study, job.choices, job.config, job.sha256))
        for step, values in self.logged:
            self.loggers.log(values, step)

    def log(self, values: dict[str, float], step: int) -> None:
        """Tell the views, and keep what they were told for those of a resumed run."""
        self.logged.append((step, values))
        self.loggers.log(values, step)

    def scored(self, step: int, scores: Scores, final: bool) -> None:
        """Add an evaluation to the history, as plain numbers, which a checkpoint may hold, and tell the views.

        Args:
            step: steps done.
            scores: what was measured.
            final: whether this is the evaluation that the record tells.
        """
        plain = {name: float(value) for name, value in scores.probes.items()}
        self.history.append({"step": step, "metrics": plain, "teacher_metrics": scores.matching})
        self.units |= {name: score.unit for name, score in scores.probes.items()}
        self.scores = scores if final else None
        self.log(scores.flat(), step)
        self._show_pictures(step)

    def _show_pictures(self, step: int) -> None:
        """Show the views what the task `pictures` has left in the folder since they saw the last."""
        stamp = stamp_of_pictures(self.folder) if self.loggers.has_gallery else self.pictures_shown
        if stamp != self.pictures_shown:
            self.pictures_shown = stamp
            try:
                self.loggers.show({name: pixels.numpy() for name, pixels in read_pictures(self.folder).items()}, step)
            except (ValueError, OSError) as error:  # a view never decides whether a run lives
                log.warning("The pictures of %s are not shown: %s", self.folder, error)

    def checkpoint(self, step: int, arm: Mapping[str, Any], estimation: Mapping[str, Any]) -> dict[str, Any]:
        """What a checkpoint of it holds.

        Args:
            step: steps done.
            arm: its training state.
            estimation: state of the statistics of its arm.
        """
        return {
            "config_sha256": self.job.sha256,
            "seed": self.job.seed,
            "sources": {name: source.sha256 for name, source in self.sources.items()},
            "step": step,
            "arm": arm,
            "estimation": estimation,
            "run": self.state_dict(),
        }

    def write(self, record: RunRecord) -> None:
        """Write the record; the views stay open, for all of a group's records are written before the first closes."""
        log.info("%s: %s", self.title, write_record(self.folder, record))
        (self.folder / PREVIOUS).unlink(missing_ok=True)  # nobody goes on from it any more

    def leave_nothing(self) -> None:
        """Remove a folder that was found empty, of a run that was refused before it took a step."""
        if self.is_new and not (self.folder / FILE_NAME).exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on counting from."""
        return {
            "history": self.history,
            "units": self.units,
            "logged": self.logged,
            "seconds": self.seconds,
            "train_seconds": self.train_seconds,
            "images_seen": self.images_seen,
            "corrupt_names": sorted(self.corrupt_names),
            "trained_on": self.trained_on,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`.

        Raises:
            ValueError: something is lacking, or of another kind.
        """
        counted = _Counted.model_validate(dict(state))
        self.history, self.logged, self.units = counted.history, counted.logged, counted.units
        self.corrupt_names = set(counted.corrupt_names)
        self.seconds, self.train_seconds = counted.seconds, counted.train_seconds
        self.images_seen, self.trained_on = counted.images_seen, counted.trained_on
