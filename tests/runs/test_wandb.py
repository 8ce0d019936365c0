"""W&B as a view: what it is told, and what happens where it refuses, is silent, or dies."""

import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
import yaml
from logged_files import WandbRun, from_wandb
from synthetic_records import record

from phis_lab.commands.export_logged import log_export
from phis_lab.runs import write_record
from phis_lab.runs.loggers import LoggerSet, RunInfo, WandbLogger

INFO = RunInfo(
    name="phis/seed0",
    group="study",
    config={"seed": 0},
    tags=("loss:mse", "normalizer:phis"),
    method="phis",
    choices={"loss": "mse", "normalizer": "phis"},
    config_sha256="f" * 64,
)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """W&B as a new process without an account sees it."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "wandb_cache"))
    monkeypatch.setattr(WandbLogger, "_answers", None)
    monkeypatch.setattr(WandbLogger, "_stalled", False)
    wandb.teardown()
    yield
    wandb.teardown()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [entry for entry in caplog.records if entry.name.startswith("phis_lab")]
    return [entry.getMessage() for entry in ours if entry.levelno >= logging.WARNING]


def read(folder: Path) -> WandbRun:
    wandb.teardown()  # whose service writes the end of the file
    return from_wandb(folder)


def train(folder: Path, **options: Any) -> None:
    logger = WandbLogger(str(folder), **options)
    logger.start(INFO)
    logger.log({"train/loss": 1.0}, 0)
    logger.finish()


def test_the_run_holds_what_identifies_it_and_nothing_that_wandb_refuses(tmp_path: Path) -> None:
    long = "experiment:" + "x" * 100 + "_the_end"
    train(tmp_path, tags=("", "mine", "mine", long))
    run = read(tmp_path)
    tags = list(run.info.tags)
    assert tags[:3] == ["loss:mse", "normalizer:phis", "mine"]
    assert len(tags) == 4
    assert tags[3].startswith("experiment:x")
    assert tags[3].endswith("x_the_end")
    assert len(tags[3]) <= 64
    assert (run.info.run_group, run.info.job_type, run.info.display_name) == ("study", "train", "phis/seed0")
    config = {key: run.config[key] for key in ("seed", "method", "choices", "config_sha256")}
    assert config == {"seed": 0, "method": "phis", "choices": INFO.choices, "config_sha256": "f" * 64}
    assert run.exit_code == 1  # without a record it broke


def test_values_of_the_same_step_are_one_row(tmp_path: Path) -> None:
    logger = WandbLogger(str(tmp_path))
    logger.start(INFO)
    logger.log({"test/knn/accuracy": 0.5}, 3)
    logger.log({"train/loss": 1.0}, 3)
    logger.log({"train/loss": float("nan")}, 4)
    logger.finish()
    values = read(tmp_path).values
    assert list(values) == [3, 4]
    assert values[3] == {"test/knn/accuracy": 0.5, "train/loss": 1.0}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"no/id?", b"two\nlines"])
def test_a_damaged_id_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wandb_id.txt").write_bytes(content)
    train(tmp_path)
    assert read(tmp_path).info.run_id == (tmp_path / "wandb_id.txt").read_text()


@pytest.mark.parametrize("key", ["a" * 40, "abc"])
def test_a_server_out_of_reach_and_a_malformed_key_are_told_once_and_offline_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "1")
    for arm in ("a", "b"):
        train(tmp_path / arm, mode="online" if arm == "b" else "auto")
        assert read(tmp_path / arm).values == {0: {"train/loss": 1.0}}
    (warning,) = warnings(caplog)
    assert "W&B cannot be reached, or refuses: AuthenticationError" in warning
    assert "wandb sync" in warning


def test_without_a_key_online_is_offline_and_nobody_is_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    train(tmp_path, mode="online")
    assert read(tmp_path).values
    assert "No key of W&B is known" in caplog.text


def test_a_run_that_the_server_refuses_goes_on_offline_under_a_new_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(WandbLogger, "_answers", True)
    opened = wandb.init
    refused = []

    def refuse(mode: str, **options: Any) -> Any:
        if mode == "online":
            refused.append(options["id"])
            raise wandb.errors.CommError("permission denied")
        return opened(mode=mode, **options)

    monkeypatch.setattr(wandb, "init", refuse)
    for arm in ("a", "b"):
        train(tmp_path / arm, mode="online")
    assert len(refused) == 1
    assert read(tmp_path / "a").info.run_id != refused[0]
    assert len(warnings(caplog)) == 1


class Online(SimpleNamespace):
    """A run that a server holds up to a step."""

    def __init__(self, starting_step: int) -> None:
        super().__init__(starting_step=starting_step, offline=False, rows={}, closed=0, summary={})

    def log(self, row: dict[str, float], step: int, commit: bool) -> None:
        self.rows[step] = row

    def finish(self, exit_code: int) -> None:
        self.closed += 1
        raise TimeoutError("Timed out finishing run.")


def test_online_a_resumed_run_sends_what_the_server_lacks_and_no_half_of_a_step(tmp_path: Path) -> None:
    logger = WandbLogger(str(tmp_path))
    logger._run = run = Online(starting_step=2)
    for step in range(4):
        logger.log({"train/loss": 1.0}, step)
    logger.log({"test/knn/accuracy": 0.5}, 4)
    logger.finish()
    assert run.rows == {step: {"step": step, "train/loss": 1.0} for step in (2, 3)}


def test_a_network_that_is_lost_is_waited_for_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs = [Online(0), Online(0)]
    for run in runs:
        logger = WandbLogger(str(tmp_path))
        logger._run = run
        logger.finish()
    assert [run.closed for run in runs] == [1, 0]
    assert len(warnings(caplog)) == 1


def test_a_killed_service_is_set_aside_once_and_the_next_run_gets_a_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arms = {arm: LoggerSet({"wandb": WandbLogger(str(tmp_path / arm))}) for arm in ("a", "b")}
    for arm in arms.values():
        arm.start(INFO)
    service = wandb.setup()._connection._proc
    os.kill(service._process.pid, signal.SIGKILL)
    service.join()
    for step in range(100):
        for arm in arms.values():
            arm.log({"train/loss": 1.0}, step)
    for arm in arms.values():
        arm.finish()
    assert len(warnings(caplog)) == 2
    train(tmp_path / "c")
    assert read(tmp_path / "c").values == {0: {"train/loss": 1.0}}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # W&B leaves the file of parameters open
def test_the_first_arm_is_the_run_of_a_sweep_s_agent_and_the_others_are_runs_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("wandb_version: 1\nnormalizer:\n  value: phis\n")
    known = {"SWEEP_ID": "sweep", "RUN_ID": "agents", "SWEEP_PARAM_PATH": str(parameters), "PROJECT": "theirs"}
    for name, value in known.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    loggers = {arm: WandbLogger(str(tmp_path / arm), mode="offline") for arm in ("a", "b")}
    for logger in loggers.values():
        logger.start(INFO)
    for logger in loggers.values():
        logger.log({"train/loss": 1.0}, 0)
        logger.finish()
    first, second = (read(tmp_path / arm) for arm in loggers)
    assert (first.info.run_id, first.info.sweep_id, first.config["normalizer"]) == ("agents", "sweep", "phis")
    assert (tmp_path / "a" / "wandb_id.txt").read_text() == "agents"
    assert (second.info.sweep_id, second.info.project) == ("", "phis-lab")
    assert second.info.run_id == (tmp_path / "b" / "wandb_id.txt").read_text()
    assert second.values == {0: {"train/loss": 1.0}}


def no_space(path: Path) -> None:
    raise OSError(f"No space left on device: {path.name}")


def test_files_that_cannot_be_kept_are_a_warning_and_given_ones_are_an_output_offline(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = WandbLogger(str(tmp_path))
    logger.start(INFO)
    logger.keep("statistics", {"sam_h.safetensors": lambda path: path.write_bytes(b"1")}, made_here=False)
    logger.keep("normalizers", {"sam_h.spatial.safetensors": no_space}, made_here=True)
    logger.keep("normalizers", {}, made_here=True)
    logger.log({"train/loss": 1.0}, 0)
    logger.finish()
    run = read(tmp_path)
    assert [artifact.type for artifact in run.artifacts] == ["statistics"]
    assert json.loads(run.artifacts[0].metadata)["made_here"] is False
    assert run.values == {0: {"train/loss": 1.0}}
    (warning,) = warnings(caplog)
    assert "does not keep the normalizers" in warning
    assert "No space left on device" in warning


def test_online_given_files_are_an_input_and_made_ones_an_output(tmp_path: Path) -> None:
    logger = WandbLogger(str(tmp_path))
    used, logged = [], []
    logger._run = SimpleNamespace(offline=False, use_artifact=used.append, log_artifact=logged.append)
    for kind, made_here in (("statistics", False), ("normalizers", True), ("normalizers", True)):
        logger.keep(kind, {"sam_h.safetensors": lambda path: path.write_bytes(b"1")}, made_here)
    assert [artifact.type for artifact in used] == ["statistics"]
    assert [artifact.type for artifact in logged] == ["normalizers"] * 2
    assert logged[0].name == logged[1].name  # the same content


def test_no_files_are_kept_where_none_are_wanted(tmp_path: Path) -> None:
    logger = WandbLogger(str(tmp_path), files=False)
    logger.start(INFO)
    logger.keep("normalizers", {"sam_h.spatial.safetensors": no_space}, made_here=True)
    logger.finish()
    assert not read(tmp_path).artifacts


def test_an_exported_student_is_an_artifact_of_a_run_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, student = tmp_path / "run", tmp_path / "student.safetensors"
    student.write_bytes(b"weights")
    logger = WandbLogger(str(run))
    logger.start(INFO)
    logger.keep("normalizers", {"sam_h.spatial.safetensors": lambda path: path.write_bytes(b"1")}, made_here=True)
    logger.finish()
    (made_from,) = (artifact.name for artifact in read(run).artifacts)
    (trained,) = (run / "wandb").glob("offline-run-*")
    trained.rename(tmp_path / "sent")
    write_record(run, record("phis", name="study"))
    log_export(run, [student])
    assert not list((run / "wandb").glob("offline-run-*"))  # its configuration names no logger
    options = {"_target_": "phis_lab.runs.loggers.WandbLogger", "_partial_": True, "project": "mine", "mode": "auto"}
    (run / "config.yaml").write_text(yaml.safe_dump({"logger": {"wandb": options}}))
    log_export(run, [student])
    exported = read(run)
    assert (exported.info.job_type, exported.info.run_group, exported.info.project) == ("export", "study", "mine")
    (artifact,) = exported.artifacts
    assert (artifact.type, artifact.name) == ("model", f"student-{(run / 'wandb_id.txt').read_text()}")
    assert json.loads(artifact.metadata)["made_from"] == [made_from]
    assert [Path(file.local_path) for file in artifact.manifest.contents] == [student]
    assert not warnings(caplog)
    log_export(run, [tmp_path / "gone"])
    assert "W&B does not take the exported student" in warnings(caplog)[-1]


def test_a_folder_named_wandb_is_no_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", SimpleNamespace(__path__=[str(tmp_path / "wandb")]))
    with pytest.raises(ModuleNotFoundError, match=r"found the folder .*wandb.*phis-lab\[wandb\]"):
        WandbLogger(str(tmp_path))
