"""Weights & Biases: a view of the run, online or not. The only file that imports `wandb`."""

import hashlib
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from phis_lab.refusals import one_line
from phis_lab.runs.loggers.base import Pictures, RunInfo, Savers
from phis_lab.runs.loggers.extras import of_extra
from phis_lab.runs.loggers.numbers import (
    METHODS_TABLE,
    NAME_LENGTH,
    PICTURES,
    best_of,
    final_numbers,
    method_row,
    shortened,
    strip,
)
from phis_lab.runs.record import RunRecord
from phis_lab.whole_files import write_text

log = logging.getLogger(__name__)

DATA_DIR = "WANDB_DATA_DIR"
ARTIFACTS = Path("wandb") / "artifacts"
"""Where the files of artifacts lie in a run's folder, until and after they are sent."""
TAG_LENGTH = 64
"""Characters that W&B takes in a tag."""


class WandbLogger:
    """Logs to W&B, and without an account to a local folder that `wandb sync` can send later.

    Every arm has a W&B run of its own. Its id is kept beside the results, and a resumed run goes on in it: W&B is told
    everything again and drops the steps that it holds. Offline, the newest folder holds every step and replaces the
    older ones, so that `wandb sync` sends each step once. Values that are logged at the same step are one row.

    The summary holds the best and the last of what has a better direction, and at the end every final number. The
    table `result/methods` has one row, and is a table of all methods where W&B shows several runs. Pictures are shown
    at the step of their evaluation. Statistics and normalisers are artifacts, named by their content, so that arms
    that share one show that they do. Offline nothing can be declared as an input: given statistics are an output.

    Where W&B cannot be reached or refuses the key or the run, a warning says so, and all further runs of this process
    are logged offline. WANDB_INIT_TIMEOUT and WANDB_FINISH_TIMEOUT bound the wait, in seconds.

    Args:
        folder: the run's folder; W&B writes below it.
        project: the W&B project.
        entity: the user or team; None is the account's own.
        mode: `auto` is WANDB_MODE where that is set, else online where a key is known (`wandb login`, or
            WANDB_API_KEY) and offline elsewhere.
        tags: labels to filter by, after the run's own; W&B takes 64 characters, of longer ones both ends are kept.
        files: whether statistics and normalisers are logged as artifacts.
    """

    _answers: ClassVar[bool | None] = None
    """Whether W&B takes the runs of this process; None before it was asked."""
    _stalled: ClassVar[bool] = False
    """Whether a run waited in vain for its upload; what else is open is then left to W&B's own hook at exit."""

    def __init__(
        self,
        folder: str,
        project: str = "phis-lab",
        entity: str | None = None,
        mode: Literal["auto", "online", "offline"] = "auto",
        tags: tuple[str, ...] = (),
        files: bool = True,
    ) -> None:
        _import_wandb()  # refuse a missing extra before anything is loaded
        self.folder = Path(folder)
        self.project = project
        self.entity = entity
        self.mode = mode
        self.tags = tags
        self.files = files
        self._run: Any = None
        self._defined: set[str] | None = None
        self._about: dict[str, Any] = {}
        self._row: dict[str, Any] = {}
        self._step = 0

    def start(self, run: RunInfo) -> None:
        """Opens the W&B run."""
        self._run = self._opened(run, "train")
        _leave_sweep()
        self._keep_id(self._run.id)  # an agent of a W&B sweep chooses it
        self._run.define_metric("*", step_metric="step")
        self._defined = set()
        if run.step == 0:
            self._drop_older_folders()
        shutil.rmtree(self.folder / ARTIFACTS, ignore_errors=True)

    def export(self, run: RunInfo, files: Iterable[Path]) -> None:
        """Logs an exported student in a W&B run of its own, made from what the training run has logged."""
        self._run = self._opened(run, "export")
        try:
            made_from = [folder.name for folder in sorted((self.folder / ARTIFACTS).glob("*-*"))]
            for name in () if self._run.offline else made_from:
                self._run.use_artifact(f"{name}:latest")
            about = self._about | {"made_from": made_from}
            artifact = _import_wandb().Artifact(f"student-{self._run_id()}", "model", metadata=about)
            written = [path.absolute() for path in files]
            above = Path(os.path.commonpath([path.parent for path in written]))
            for path in written:  # those of several formats have equal names in folders of their own
                artifact.add_file(str(path), name=path.relative_to(above).as_posix(), policy="immutable")
            self._run.log_artifact(artifact)
        finally:
            self._run.finish()

    def _opened(self, run: RunInfo, job: str) -> Any:
        """A W&B run, offline where W&B refuses it."""
        wandb = _import_wandb()
        wandb.setup(wandb.Settings(silent=True))  # what it prints would tear the progress view
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # W&B's own telemetry, which may fail as well
        self.folder.mkdir(parents=True, exist_ok=True)
        mode = resolve_mode(self.mode)
        if mode == "online" and not self._is_taken():
            mode = "offline"
        try:
            return self._open(run, mode, job)
        except wandb.Error as error:
            if mode != "online":
                raise
            self._give_up(error)
            if job == "train":
                (self.folder / "wandb_id.txt").unlink()  # the process holds the refused id
            return self._open(run, "offline", job)

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Sends a row when the next step is logged, so that a step is told whole or not at all."""
        assert self._run is not None, "start() comes first"
        if step != self._step:
            self._send()
        self._step = step
        self._row |= metrics
        if self._defined is not None:
            for name in metrics.keys() - self._defined:
                self._defined.add(name)
                if best := best_of(name):
                    self._run.define_metric(name, step_metric="step", summary=f"{best},last")

    def show(self, pictures: Pictures, step: int) -> None:
        """Adds a strip of images for every column to the row of a step."""
        wandb = _import_wandb()
        strips = {name: wandb.Image(strip(pixels), caption=name) for name, pixels in pictures.items()}
        self.log({f"{PICTURES}/{name}": image for name, image in strips.items()}, step)

    def keep(self, kind: str, files: Savers, made_here: bool) -> None:
        """Writes the files below the run's folder and logs them as one artifact; that this fails is a warning."""
        if not (self.files and files):
            return
        try:
            folder = _saved(self.folder / ARTIFACTS, kind, files)
            artifact = _import_wandb().Artifact(folder.name, kind, metadata=self._about | {"made_here": made_here})
            for path in sorted(folder.iterdir()):
                artifact.add_file(str(path), policy="immutable")  # in its place, which goes where the run's folder goes
            if made_here or self._run.offline:
                self._run.log_artifact(artifact)
            else:
                self._run.use_artifact(artifact)
        except Exception as error:  # of any kind: a part that cannot be saved, a full disk, a server
            log.warning("W&B does not keep the %s of %s: %s", kind, self.folder, one_line(error))

    def finish(self, record: RunRecord | None = None) -> None:
        """Logs the final numbers as a row of methods and in the summary, and closes the run (failed if no record)."""
        if self._run is None:
            return
        try:
            self._tell_end(record)
        except ConnectionError:
            _forget_service()
            raise
        except TimeoutError as error:
            WandbLogger._stalled = True
            self._give_up(error)
        finally:
            self._run = None

    def _tell_end(self, record: RunRecord | None) -> None:
        if record is not None and record.metrics:
            row = method_row(record)
            self.log({METHODS_TABLE: _import_wandb().Table(columns=list(row), data=[list(row.values())])}, record.steps)
            self._run.config.update({"units": {name: m.unit for name, m in record.metrics.items() if m.unit}})
            self._run.summary.update(final_numbers(record))
        if record is not None or self._run.offline:  # online, a resumed run may have more to say of the last step
            with self._staged():
                self._send()
        if record is not None and record.failure is not None:
            self._run.summary["failure"] = record.failure
        if self._run.offline or not WandbLogger._stalled:
            self._run.finish(exit_code=0 if record is not None and record.status == "complete" else 1)

    @contextmanager
    def _staged(self) -> Iterator[None]:
        """Lets W&B copy files of artifacts into the run's folder, and not into the user's home, unless told where."""
        if DATA_DIR in os.environ:
            yield
            return
        os.environ[DATA_DIR] = str((self.folder / "wandb").absolute())
        try:
            yield
        finally:
            del os.environ[DATA_DIR]

    def _send(self) -> None:
        """W&B's own step is ours; one that a resumed run finds there is not sent again."""
        if self._row and self._step >= self._run.starting_step:
            self._run.log({"step": self._step, **self._row}, step=self._step, commit=True)
        self._row = {}

    def _open(self, run: RunInfo, mode: str, job: str) -> Any:
        wandb = _import_wandb()
        about = {"method": run.method, "choices": dict(run.choices), "config_sha256": run.config_sha256}
        self._about = {"study": run.group, "run": run.name, "method": run.method, "config_sha256": run.config_sha256}
        return wandb.init(
            dir=str(self.folder),
            project=self.project,
            entity=self.entity,
            mode=mode,
            tags=_fitting([*run.tags, *self.tags], TAG_LENGTH),
            group=shortened(run.group, NAME_LENGTH),
            name=shortened(run.name, NAME_LENGTH),
            job_type=job,
            config=run.config | about,
            id=self._run_id() if job == "train" else None,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", "20")),
                finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT", "60")),
                finish_timeout_raises=True,
                x_transaction_log_flush_interval=1.0,  # of the file, which otherwise a killed run leaves empty
            ),
        )

    def _run_id(self) -> str:
        """The id of the W&B run, kept in `wandb_id.txt`; a new one where the file holds none."""
        path = self.folder / "wandb_id.txt"
        known = path.read_text(errors="replace").strip() if path.exists() else ""
        if re.fullmatch(r"[a-z0-9]{1,128}", known) is None:
            known = secrets.token_hex(4)
            self._keep_id(known)
        return known

    def _keep_id(self, known: str) -> None:
        write_text(self.folder / "wandb_id.txt", known)

    def _drop_older_folders(self) -> None:
        """Removes what earlier, stopped processes logged offline under this id: all of it is told again."""
        newest = Path(self._run.settings.sync_dir)
        if newest.is_dir():
            for folder in newest.parent.glob(f"offline-run-*-{self._run.id}"):
                if folder.name != newest.name:
                    shutil.rmtree(folder, ignore_errors=True)

    @classmethod
    def _is_taken(cls) -> bool:
        """Asks W&B, once in a process, whether it is there and takes the key, if there is one."""
        if cls._answers is None:
            try:
                cls._answers = bool(_import_wandb().login(prompt=False, verify=True))
                if not cls._answers:
                    log.info("No key of W&B is known (`wandb login`, or WANDB_API_KEY): runs are logged offline.")
            except Exception as error:  # of any kind: a malformed key, a proxy, an address that answers something else
                cls._give_up(error)
        return bool(cls._answers)

    @classmethod
    def _give_up(cls, cause: Exception) -> None:
        """From now on the runs of this process are logged offline."""
        cls._answers = False
        text = "W&B cannot be reached, or refuses: %s. Runs are logged offline, and `wandb sync` can send them later."
        log.warning(text, one_line(cause).removesuffix("."))


def resolve_mode(mode: Literal["auto", "online", "offline"]) -> str:
    """What `auto` means here: WANDB_MODE if it is set, else online where W&B answers and takes the key."""
    if mode != "auto":
        return mode
    if "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    return "online" if WandbLogger._is_taken() else "offline"


def _saved(root: Path, kind: str, files: Savers) -> Path:
    """Writes a bundle into a folder that is named by its kind and its content."""
    half = root / f".{kind}"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    digest = hashlib.sha256()
    for name, save in sorted(files.items()):
        save(half / name)
        digest.update(name.encode() + (half / name).read_bytes())
    folder = root / f"{kind}-{digest.hexdigest()[:12]}"
    shutil.rmtree(folder, ignore_errors=True)
    return half.rename(folder)


def _leave_sweep() -> None:
    """The agent of a W&B sweep waits for one run: the first of a process is its, and the other arms are runs beside."""
    setup = _import_wandb().setup()
    if setup.settings.sweep_id is None:
        return
    setup.settings.sweep_id = setup.settings.run_id = setup.settings.sweep_param_path = None
    setup._sweep_config = None


def default_entity() -> str:
    """The user or team that W&B takes where nobody says another one; asks the server."""
    return str(_import_wandb().Api().default_entity)


def _fitting(texts: Iterable[str], length: int) -> list[str]:
    """Each text once, none empty or longer than W&B takes."""
    return list(dict.fromkeys(shortened(text, length) for text in texts if text))


def _forget_service() -> None:
    """Lets go of a `wandb-core` process that died, so that later runs get a new one and the exit is quiet."""
    try:
        _import_wandb().teardown()
    except ConnectionError:
        log.debug("The service of W&B is gone.", exc_info=True)


def _import_wandb() -> Any:
    return of_extra("wandb", "init")
