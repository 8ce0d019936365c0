"""What runs there are below a folder and how each stands, told from the files in their folders alone."""

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from phis_lab.refusals import one_line, sentence
from phis_lab.runs.lock import LOCK_FILE, owner_of
from phis_lab.runs.progress import PROGRESS_FILE, RunProgress, read_progress
from phis_lab.runs.record import FILE_NAME, Metric, RunRecord, read_record
from phis_lab.whole_files import read_text

State = Literal["complete", "running", "stopped", "failed", "damaged"]
CONFIG = "config.yaml"
CHECKPOINTS = ("checkpoint.pt", "checkpoint.previous.pt")
_MARKS = {FILE_NAME, PROGRESS_FILE, CONFIG, LOCK_FILE, *CHECKPOINTS}
_NODES = {"normalizer", "student", "teachers", "seed"}
"""Nodes that the configuration of every run has."""


class RunScore(NamedTuple):
    """A number of a run, with its unit."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class ListedRun:
    """How one run stands.

    Args:
        folder: of the run.
        state: `running` where a process holds its folder, else `stopped` where it has no record.
        method: its label in tables; where no file tells it, the name of the folder above.
        seed: None where no file tells it.
        study: the experiment or sweep that it is of.
        step: optimisation steps done; None where no file tells it.
        max_steps: that were asked for.
        updated: when it last wrote.
        bytes: of all its files.
        score: its first headline metric, such as `knn/accuracy`.
        cause: why it failed.
        owner: the process that holds its folder.
        damage: a sentence for every file that cannot be read.
        choices: option by config group.
        is_ours: whether a file of it can be read as one that a run wrote.
    """

    folder: Path
    state: State
    method: str
    seed: int | None
    study: str
    step: int | None
    max_steps: int | None
    updated: datetime
    bytes: int
    score: RunScore | None
    cause: str | None
    owner: str | None
    damage: list[str]
    choices: dict[str, str] = field(repr=False)
    is_ours: bool = field(repr=False)


def list_runs(root: Path) -> tuple[list[ListedRun], list[str]]:
    """The runs below a folder in the order of their paths, and a sentence for every folder that cannot be read.

    What lies inside a run's folder belongs to that run. Links to folders are not followed.

    Raises:
        ValueError: there is no such folder.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise ValueError(f"{root} {what}; name the folder of a run, a study or many of them (paths.outputs)")
    closed: list[str] = []
    found = []
    for place, folders, files in os.walk(root, onerror=lambda error: closed.append(sentence(error))):
        folders.sort()
        folder = Path(place)
        try:
            run = _listed(folder, {name for name in files if name in _MARKS and (folder / name).is_file()})
        except FileNotFoundError:  # removed meanwhile
            run = None
        if run is not None:
            folders.clear()
            found.append(run)
        else:
            folders[:] = [name for name in folders if not name.startswith(".")]
    return sorted(found, key=lambda run: run.folder), closed


def config_of(folder: Path) -> dict[str, Any]:
    """The configuration that a run was started with.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it cannot be read, or is none of a run.
    """
    path = folder / CONFIG
    try:
        read = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({one_line(error)})") from error
    if not isinstance(read, dict) or not read.keys() >= _NODES:
        raise ValueError(f"{path} is not the configuration of a run")
    return read


def metrics_of(folder: Path) -> dict[str, float]:
    """All that was measured of a run, the newest evaluation of one that has not ended; teachers' by a path each."""
    try:
        source: RunRecord | RunProgress | None = read_record(folder / FILE_NAME)
    except (OSError, ValueError):
        source = read_progress(folder)
    if source is None:
        return {}
    own = {name: m.value if isinstance(m, Metric) else m for name, m in source.metrics.items()}
    return own | {
        f"{teacher}/{kind}/{name}": value
        for teacher, kinds in source.teacher_metrics.items()
        for kind, values in kinds.items()
        for name, value in values.items()
    }


def _listed(folder: Path, files: set[str]) -> ListedRun | None:
    """The run in a folder; None where there is none.

    Args:
        folder: to look into.
        files: those in it that a run writes, without pipes and the like, which nobody should wait for.
    """
    owner = owner_of(folder) if LOCK_FILE in files else None
    if not files or (files == {LOCK_FILE} and owner is None):
        return None
    damage: list[str] = []
    record = _read(lambda: read_record(folder / FILE_NAME), damage) if FILE_NAME in files else None
    config = _read(lambda: config_of(folder), damage) if CONFIG in files else None
    progress = read_progress(folder) if PROGRESS_FILE in files else None
    if PROGRESS_FILE in files and progress is None:
        damage.append(f"{folder / PROGRESS_FILE} cannot be read; the run writes it again when it goes on")
    if files == {CONFIG} and config is None:
        return None  # another program's, as in a folder of option files
    damage += [f"{path} is cut off" for path in _checkpoints(folder, files) if not zipfile.is_zipfile(path)]
    state = _state(record, owner, damage)
    config = config or {}
    return ListedRun(
        folder=folder,
        state=state,
        method=record.method if record else progress.method if progress else config.get("label") or folder.parent.name,
        seed=record.seed if record else progress.seed if progress else _whole(config.get("seed")),
        study=record.name if record else progress.name if progress else folder.parent.parent.name,
        step=record.steps if record else progress.step if progress else None,
        max_steps=record.steps if state == "complete" and record else _asked(progress, config),
        updated=_updated(folder, files),
        bytes=sum(_sizes(folder)),
        score=_score(record, progress),
        cause=record.failure if record else None,
        owner=owner,
        damage=damage,
        choices=record.choices if record else progress.choices if progress else {},
        is_ours=any(part is not None for part in (record, progress, config or None)),
    )


def _state(record: RunRecord | None, owner: str | None, damage: list[str]) -> State:
    if record is not None:
        return record.status
    return "running" if owner is not None else "damaged" if damage else "stopped"


def _read(read: Any, damage: list[str]) -> Any:
    """What a file holds; None where it cannot be read, which is added to the damage."""
    try:
        return read()
    except (OSError, ValueError) as error:
        damage.append(sentence(error))
        return None


def _checkpoints(folder: Path, files: set[str]) -> list[Path]:
    return [folder / name for name in CHECKPOINTS if name in files]


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _asked(progress: RunProgress | None, config: Mapping[str, Any]) -> int | None:
    """Steps that an unfinished run is to take."""
    trainer = config.get("trainer")
    return progress.max_steps if progress else _whole(trainer.get("max_steps")) if isinstance(trainer, dict) else None


def _updated(folder: Path, files: set[str]) -> datetime:
    """When one of the files was last written that a run writes while it trains and when it ends."""
    times = [folder.stat().st_mtime]
    for name in files - {LOCK_FILE}:
        with suppress(OSError):  # replaced meanwhile
            times.append((folder / name).lstat().st_mtime)
    return datetime.fromtimestamp(max(times[1:] or times), UTC).replace(microsecond=0)


def _sizes(folder: Path) -> Iterator[int]:
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                yield (Path(place) / name).lstat().st_size


def _score(record: RunRecord | None, progress: RunProgress | None) -> RunScore | None:
    """The first headline metric."""
    if record is not None:
        headline = {n: m for n, m in record.metrics.items() if m.higher_is_better is not None and not m.detail}
        return next((RunScore(name, metric.value, metric.unit) for name, metric in headline.items()), None)
    if progress is None:
        return None
    found = (RunScore(name, value, progress.units.get(name, "")) for name, value in progress.metrics.items())
    return next(found, None)


def option_of(run: ListedRun, key: str) -> str | None:
    """An option of a run as text: a column of the list, a choice, or a dotted option; None where it has none such."""
    method = {"method": run.method, "label": run.method}
    columns = {**method, "state": run.state, "status": run.state, "study": run.study, "seed": run.seed}
    if key in columns:
        return as_text(columns[key])
    if key in run.choices:
        return run.choices[key]
    return options_of_run(run).get(key)


def options_of_run(run: ListedRun) -> dict[str, str]:
    """All options of a run's configuration as text, by dotted name; none where it cannot be read."""
    try:
        return dict(_leaves(config_of(run.folder), ""))
    except (OSError, ValueError):
        return {}


def _leaves(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping) and node:
        for key, child in node.items():
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, as_text(node)


def as_text(value: Any) -> str:
    """A value as one types it on a command line."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).replace("\n...\n", "").strip()
