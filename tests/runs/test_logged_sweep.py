"""The arms of a sweep through every logger, read back arm by arm: whole, stopped and resumed, diverged, or refused."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from logged_files import WandbRun, compare, from_csv, from_trackio, from_wandb
from small_arms import make_arm, make_group
from torch import Tensor

from phis_lab.engine import Arm, Group, train_group
from phis_lab.evals.tasks.pictures import Pictures
from phis_lab.linalg import Moments
from phis_lab.losses import MSE
from phis_lab.normalizers import FeatureMap, Identity
from phis_lab.runs import RunRecord, read_record
from phis_lab.runs.loggers import CSVLogger, LoggerSet, RunInfo, TensorBoardLogger, TrackioLogger, WandbLogger
from phis_lab.teachers import TeacherPool


@pytest.fixture(autouse=True, scope="module")
def _offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        for name in ("CONFIG", "CACHE"):
            patch.setenv(f"WANDB_{name}_DIR", str(tmp_path_factory.mktemp(name)))
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        wandb.teardown()
        patch.delenv("WANDB_SERVICE", raising=False)  # of a service that another test has ended
        yield
        wandb.teardown()


def plain(pool: TeacherPool) -> Arm:
    return make_arm(pool, Identity)


ARMS = {"phis": make_arm, "identity": plain}


def logged_group(folder: Path, arms: dict[str, Any] = ARMS, only: tuple[str, ...] = ()) -> Group:
    """A group whose arms have every logger, or `only` some."""
    group = make_group(folder, arms, log_every=1)
    group.evaluation.tasks["pictures"] = Pictures(images=2, gallery=4, neighbours=1)
    for run in group.runs:
        loggers: dict[str, Any] = {"csv": CSVLogger, "tensorboard": TensorBoardLogger, "wandb": WandbLogger}
        if find_spec("trackio"):
            loggers["trackio"] = TrackioLogger
        run.loggers = LoggerSet(
            {name: make(str(run.folder)) for name, make in loggers.items() if name in (only or loggers)}
        )
    return group


def read(folder: Path, arms: dict[str, Any] = ARMS) -> dict[str, WandbRun]:
    wandb.teardown()  # whose service writes the end of the files
    runs = {key: compare(folder / key) for key in arms}
    if find_spec("trackio"):
        from trackio.utils import TRACKIO_DIR

        told = from_trackio(Path(TRACKIO_DIR) / "phis-lab.db")
        for key in arms:
            assert told[(folder / key / "trackio_id.txt").read_text()] == from_csv(folder / key)
    return runs


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, _offline: None) -> dict[str, WandbRun]:
    """A sweep that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    train_group(logged_group(folder))
    return read(folder)


def test_every_arm_fills_views_of_its_own(whole: dict[str, WandbRun]) -> None:
    runs = whole
    assert len({run.info.run_id for run in runs.values()}) == 2
    assert runs["phis"].values != runs["identity"].values
    for key, run in runs.items():
        assert set(run.values) >= set(range(2, 13))
        assert "test/knn/accuracy" in run.values[12]
        assert (run.info.run_group, run.info.job_type, run.info.display_name) == ("test", "train", f"{key}/seed0")
        assert list(run.info.tags) == ["normalizer:phis"]
        assert (run.config["method"], run.config["choices"]) == (key, {"normalizer": "phis"})
        assert run.config["config_sha256"] == "0" * 64
        assert run.exit_code == 0


def test_the_summary_holds_the_best_and_the_final_numbers_and_a_table_has_a_row_of_the_method(
    whole: dict[str, WandbRun],
) -> None:
    for key, run in whole.items():
        assert run.best["train/loss"] == run.best["train/quiet/spatial"] == {"min", "last"}
        assert run.best["test/knn/accuracy"] == run.best["test/loud/spatial/fidelity"] == {"max", "last"}
        assert not {"train/lr", "test/effective_rank/summary"} & set(run.best)
        record = read_record(run.file.parents[2] / "result.json")
        assert run.summary["knn/accuracy"] == record.metrics["knn/accuracy"].value
        assert run.summary["loud/spatial/fidelity"] == record.teacher_metrics["loud"]["spatial"]["fidelity"]
        assert run.summary["cost/images"] == record.images
        assert run.config["units"]["knn/accuracy"] == "fraction"
        ((step, file),) = run.shown["result/methods"]
        table = json.loads(file.read_text())
        row = dict(zip(table["columns"], table["data"][0], strict=True))
        assert (step, len(table["data"])) == (12, 1)
        assert (row["method"], row["seed"], row["status"]) == (key, 0, "complete")
        assert row["knn/accuracy (fraction) ↑"] == record.metrics["knn/accuracy"].value
        assert {"quiet/spatial/mse ↓", "effective_rank/summary (rank)", "cost/wall_time_s"} <= set(row)


def test_pictures_are_shown_at_every_evaluation(whole: dict[str, WandbRun]) -> None:
    for run in whole.values():
        columns = {name.removeprefix("result/pictures/") for name in run.shown if name.startswith("result/pictures")}
        assert columns >= {"image", "student", "teacher/quiet", "prediction/loud", "neighbour/1"}
        for name in columns:
            shown = run.shown[f"result/pictures/{name}"]
            assert [step for step, _ in shown] == [8, 12]
            assert all(file.is_file() for _, file in shown)


def test_statistics_and_normalisers_are_artifacts_below_the_run_and_are_read_back(whole: dict[str, WandbRun]) -> None:
    for key, run in whole.items():
        folder = run.file.parents[2]
        artifacts = {artifact.type: artifact for artifact in run.artifacts}
        assert {"statistics", "normalizers"} <= set(artifacts)
        for kind in ("statistics", "normalizers"):
            assert artifacts[kind].name.startswith(f"{kind}-")
            assert json.loads(artifacts[kind].metadata)["method"] == key
        files = {file.path: Path(file.local_path) for artifact in run.artifacts for file in artifact.manifest.contents}
        assert all(file.is_relative_to(folder) and file.is_file() for file in files.values())
        assert Moments.load(files["quiet.safetensors"]).count > 0
        assert type(FeatureMap.load(files["loud.spatial.safetensors"])).__name__ == {"phis": "PhiS"}.get(
            key, "Identity"
        )


class Killed(BaseException):
    """As a process ends that is killed: nobody closes anything in peace."""


def stop_at(group: Group, step: int) -> None:
    loggers = group.runs[0].loggers
    log = loggers.log

    def log_or_die(values: dict[str, float], at: int) -> None:
        if at == step:
            raise Killed
        log(values, at)

    loggers.log = log_or_die  # type: ignore[method-assign]


def spoil(folder: Path) -> None:
    """Leave of the views what a killed process, or a full disk, may leave."""
    for path in [*folder.rglob("metrics.csv"), *folder.rglob("*.wandb"), *folder.rglob("events.out.*")]:
        path.write_bytes(path.read_bytes()[:1])


@pytest.mark.parametrize("only", [(), ("csv",)], ids=["every logger", "two loggers join"])
def test_a_resumed_sweep_tells_every_step_once(
    tmp_path: Path, only: tuple[str, ...], whole: dict[str, WandbRun]
) -> None:
    group = logged_group(tmp_path, only=only)
    stop_at(group, 8)
    with pytest.raises(Killed):
        train_group(group)
    wandb.teardown()
    spoil(tmp_path)
    train_group(logged_group(tmp_path))
    for key, run in read(tmp_path).items():
        assert run.values == whole[key].values
        assert run.exit_code == 0


def test_a_diverged_arm_is_closed_as_failed_and_the_others_are_not(tmp_path: Path) -> None:
    class Diverging(MSE):
        def forward(self, *features: Any) -> dict[str, Tensor]:
            return {name: rows * torch.inf for name, rows in super().forward(*features).items()}

    arms = {"phis": make_arm, "diverging": lambda pool: make_arm(pool, loss=Diverging())}
    train_group(logged_group(tmp_path, arms))
    wandb.teardown()
    assert compare(tmp_path / "phis").exit_code == 0
    assert from_wandb(tmp_path / "diverging").exit_code == 1
    assert read_record(tmp_path / "diverging" / "result.json").status == "failed"


class Broken:
    """An own logger that raises in one method, and looks for the record when it is closed."""

    def __init__(self, folder: Path, fails_in: str) -> None:
        self.folder, self.fails_in = folder, fails_in
        self.record_was_there: bool | None = None

    def start(self, run: RunInfo) -> None:
        self._maybe_raise("start")

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._maybe_raise("log")

    def finish(self, record: RunRecord | None = None) -> None:
        self.record_was_there = (self.folder / "result.json").exists()
        self._maybe_raise("finish")

    def _maybe_raise(self, method: str) -> None:
        if method == self.fails_in:
            raise RuntimeError(f"{method} is out of order")


def test_no_logger_stops_a_run_or_comes_before_its_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arms = dict.fromkeys(("start", "log", "finish"), make_arm)
    group = make_group(tmp_path, arms)
    loggers = {key: Broken(tmp_path / key, key) for key in arms}
    for run in group.runs:
        run.loggers = LoggerSet({"own": loggers[run.key]})
    train_group(group)
    records = [read_record(tmp_path / key / "result.json") for key in arms]
    assert [record.metrics for record in records] == [records[0].metrics] * 3
    assert [logger.record_was_there for logger in loggers.values()] == [False, False, True]
    told = [entry.getMessage() for entry in caplog.records if "'own'" in entry.getMessage()]
    assert sorted(text.rpartition(": ")[2] for text in told) == [
        "finish is out of order",
        "log is out of order",
        "start is out of order",
    ]
