"""Reads back what the loggers wrote, as step -> name -> value; `compare` holds them against each other."""

import csv
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Values = dict[int, dict[str, float]]
BLOCK, HEADER, MAGIC = 32768, 7, 7


class WandbRun(NamedTuple):
    """One offline file: the run as it was opened, its rows, and how it ended (None: it was not closed).

    `shown` holds images and tables by name, as (step, file below the folder of the run's files); `best` which extremes
    the summary keeps of each name.
    """

    info: Any
    config: dict[str, Any]
    values: Values
    exit_code: int | None
    file: Path
    summary: dict[str, Any]
    best: dict[str, set[str]]
    shown: dict[str, list[tuple[int, Path]]]
    artifacts: list[Any]


def from_csv(folder: Path) -> Values:
    values: Values = {}
    with (folder / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            step = int(row.pop("step"))
            for name, text in row.items():
                if text:
                    _put(values, step, name, float(text))
    return values


def from_tensorboard(folder: Path) -> Values:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    values: Values = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.tensor.float_val:
                    _put(values, event.step, value.tag, value.tensor.float_val[0])
    return values


def from_wandb(folder: Path) -> WandbRun:
    """The only offline file of a run."""
    (path,) = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    info, values, exit_code = None, {}, None
    config, summary, best, shown, artifacts = {}, {}, {}, {}, []
    for record in _records(path):
        if record.HasField("run"):
            info = record.run
            config |= _json_of(info.config.update)
        if record.HasField("config"):
            config |= _json_of(record.config.update)
        if record.HasField("summary"):
            summary |= _json_of(record.summary.update)
        if record.HasField("metric") and record.metric.name:
            kept = {key for key in ("min", "max", "last") if getattr(record.metric.summary, key)}
            best[record.metric.name] = kept
        if record.HasField("artifact"):
            artifacts.append(record.artifact)
        if record.HasField("exit"):
            exit_code = record.exit.exit_code
        if record.HasField("history"):
            row = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            assert row["step"] == row["_step"]
            for name, value in row.items():
                if not name.startswith(("_", "step", "result")):
                    _put(values, row["step"], name, value)
                if name.startswith("result/") and name.endswith(".path"):
                    shown.setdefault(name.removesuffix(".path"), []).append(
                        (row["step"], path.parent / "files" / value)
                    )
    assert info is not None
    return WandbRun(info, config, values, exit_code, path, summary, best, shown, artifacts)


def _json_of(items: Iterable[Any]) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def from_trackio(database: Path) -> dict[str, Values]:
    """What each run of a project was told, by the run's id; final numbers are left out."""
    found: dict[str, Values] = {}
    with closing(sqlite3.connect(database)) as connection:
        for run, step, row in connection.execute("select run_id, step, metrics from metrics order by id"):
            for name, value in json.loads(row).items():
                if not name.startswith("final/"):
                    _put(found.setdefault(run, {}), step, name, value)
    return found


def compare(folder: Path) -> WandbRun:
    """Every view of a run holds what metrics.csv holds, every step once."""
    told = from_csv(folder)
    run = from_wandb(folder)
    assert told
    assert run.values == told, folder
    shown = from_tensorboard(folder)
    for step, values in told.items():
        kept = {name: shown[step][name] for name in values}
        assert kept == {name: np.float32(value) for name, value in values.items()}, (folder, step)
    return run


def _put(values: Values, step: int, name: str, value: float) -> None:
    row = values.setdefault(step, {})
    assert name not in row, f"{name} of step {step} is told twice"
    row[name] = value


def _records(path: Path) -> Iterator[Any]:
    """The records of a `.wandb` file, a log of LevelDB: blocks of chunks, one or more of which are a record."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, parts = path.read_bytes(), MAGIC, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        parts += data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (1, 4):  # whole, or the last chunk
            yield Record.FromString(parts)
            parts = b""
