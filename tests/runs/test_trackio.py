"""trackio as a view: a run for every arm, told once, in a folder of its own and without a word."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from logged_files import from_trackio
from synthetic_records import record

from phis_lab.runs.loggers import RunInfo, TrackioLogger


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of the project; trackio reads its folder once in a process, when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        pytest.importorskip("trackio")
        from trackio.utils import TRACKIO_DIR

        yield Path(TRACKIO_DIR) / "trackio-test.db"


def started(folder: Path, name: str = "phis/seed0") -> TrackioLogger:
    logger = TrackioLogger(str(folder), project="trackio-test")
    logger.start(RunInfo(name, "study", config={"seed": 0}, method=name.partition("/")[0], tags=("loss:mse",)))
    return logger


def id_of(folder: Path) -> str:
    return (folder / "trackio_id.txt").read_text()


def test_arms_that_are_open_together_have_runs_of_their_own_and_nothing_is_printed(
    tmp_path: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = {name: started(tmp_path / name, f"{name}/seed0") for name in ("a", "b")}
    for step in range(3):
        for place, logger in enumerate(arms.values()):
            logger.log({"train/loss": float(step + place)}, step)
    arms["a"].finish(record("a", steps=3))
    arms["b"].finish()
    told = from_trackio(database)
    for place, name in enumerate(arms):
        run = id_of(tmp_path / name)
        assert told[run] == {step: {"train/loss": float(step + place)} for step in range(3)}
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "select run_name, metrics from metrics where run_id = ?", (id_of(tmp_path / "a"),)
        ).fetchall()
        (config,) = connection.execute(
            "select config from configs where run_id = ?", (id_of(tmp_path / "a"),)
        ).fetchone()
    assert {name for name, _ in rows} == {"a/seed0"}
    assert b'"final/knn/accuracy"' in bytes(rows[-1][1])
    for part in (b'"method":"a"', b'"_Group":"study"', b'"tags":["loss:mse"]'):
        assert part in bytes(config)
    assert capsys.readouterr().out == ""


def test_a_resumed_run_replaces_what_it_had_told_and_no_other_run_of_its_name(tmp_path: Path, database: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        logger = started(folder)
        logger.log({"train/loss": 1.0}, 0)
        logger.finish()
    before = id_of(folders[0])
    logger = started(folders[0])
    for step in range(2):
        logger.log({"train/loss": 2.0}, step)
    logger.finish()
    told = from_trackio(database)
    assert before not in told
    assert told[id_of(folders[0])] == {0: {"train/loss": 2.0}, 1: {"train/loss": 2.0}}
    assert told[id_of(folders[1])] == {0: {"train/loss": 1.0}}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"no such run"])
def test_a_damaged_id_is_replaced(tmp_path: Path, database: Path, content: bytes) -> None:
    (tmp_path / "trackio_id.txt").write_bytes(content)
    logger = started(tmp_path)
    logger.log({"train/loss": 1.0}, 0)
    logger.finish()
    assert from_trackio(database)[id_of(tmp_path)] == {0: {"train/loss": 1.0}}


@pytest.mark.parametrize("chosen", [None, "/elsewhere"])
def test_its_folder_lies_beside_the_outputs_unless_the_user_chose_one(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", chosen or "")
    if chosen is None:
        monkeypatch.delenv("TRACKIO_DIR")
    TrackioLogger(str(tmp_path), dir=str(tmp_path / "outputs"))
    assert os.environ["TRACKIO_DIR"] == (chosen or str(tmp_path / "outputs"))


def test_without_trackio_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ModuleNotFoundError, match=r"phis-lab\[trackio\]"):
        TrackioLogger(str(tmp_path))
