import csv
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra_zen import instantiate
from hydra_zen.third_party.pydantic import pydantic_parser
from logged_files import from_tensorboard
from synthetic_records import record

from phis_lab.runs.loggers import CSVLogger, RunInfo, TensorBoardLogger, WandbLogger
from phis_lab.runs.loggers.wandb import resolve_mode

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "wandb_cache"))
    monkeypatch.setenv("WANDB_SILENT", "true")


def info(step=0):
    return RunInfo(name="phis/seed0", group="pocket_methods", config={"seed": 0}, step=step, tags=("phis",))


def rows(folder):
    with (Path(folder) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_columns_grow_when_a_new_name_is_logged(tmp_path):
    logger = CSVLogger(str(tmp_path))
    logger.start(info())
    logger.log({"train/xfeat/mse": 0.5}, step=0)
    logger.log({"train/xfeat/mse": 0.25, "train/ppocr/mse": 2.0}, step=1)
    logger.log({"train/ppocr/mse": 1.0}, step=2)
    logger.finish()
    assert rows(tmp_path) == [
        {"step": "0", "train/xfeat/mse": "0.5", "train/ppocr/mse": ""},
        {"step": "1", "train/xfeat/mse": "0.25", "train/ppocr/mse": "2.0"},
        {"step": "2", "train/xfeat/mse": "", "train/ppocr/mse": "1.0"},
    ]


def test_csv_of_a_resumed_run_equals_that_of_an_unbroken_one(tmp_path):
    def train(logger, first, last):
        logger.start(info(first))
        for step in range(first, last):
            logger.log({"train/loss": 1 / (step + 1)}, step)

    train(CSVLogger(str(tmp_path / "unbroken")), 0, 6)
    train(CSVLogger(str(tmp_path / "resumed")), 0, 5)
    with (tmp_path / "resumed" / "metrics.csv").open("a") as file:
        file.write("1,0.")
    train(CSVLogger(str(tmp_path / "resumed")), 3, 6)
    assert rows(tmp_path / "resumed") == rows(tmp_path / "unbroken")


def test_a_fresh_start_forgets_an_earlier_run(tmp_path):
    for value in (1.0, 2.0):
        logger = CSVLogger(str(tmp_path))
        logger.start(info())
        logger.log({"train/loss": value}, step=0)
    assert rows(tmp_path) == [{"step": "0", "train/loss": "2.0"}]


@pytest.mark.parametrize("found", [b"\x80\x81 no text", b"", b"step,a\n3,", b"no,steps\n1,2\n"])
def test_a_damaged_metrics_file_is_written_anew(tmp_path, found):
    (tmp_path / "metrics.csv").write_bytes(found)
    logger = CSVLogger(str(tmp_path))
    logger.start(info())
    logger.log({"train/loss": 2.0}, step=0)
    assert rows(tmp_path) == [{"step": "0", "train/loss": "2.0"}]


def test_tensorboard_of_a_run_that_starts_again_tells_every_step_once(tmp_path):
    for last in (5, 3):
        logger = TensorBoardLogger(str(tmp_path))
        logger.start(info())
        for step in range(last):
            logger.log({"train/loss": 0.5 * step}, step)
        logger.finish()
    assert from_tensorboard(tmp_path) == {step: {"train/loss": 0.5 * step} for step in range(3)}


def test_tensorboard_holds_the_curves_and_the_final_metrics(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(str(tmp_path))
    logger.start(info())
    logger.log({"train/xfeat/mse": 0.5}, step=1)
    logger.log({"train/xfeat/mse": 0.25}, step=2)
    logger.finish(record())
    logger.finish()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/xfeat/mse")] == [(1, 0.5), (2, 0.25)]
    assert events.Scalars("knn/accuracy")[0].step == 2000


def test_wandb_runs_offline_without_an_account_and_keeps_its_id(tmp_path):
    for step in (0, 1):
        logger = WandbLogger(str(tmp_path), tags=("mine",))
        logger.start(info(step))
        logger.log({"train/loss": 1.0}, step)
        logger.finish(record() if step else None)
        logger.finish()
    run_id = (tmp_path / "wandb_id.txt").read_text()
    assert set(tmp_path.glob("wandb/offline-run-*/*.wandb")) == set(tmp_path.rglob(f"run-{run_id}.wandb"))


def test_wandb_mode_is_the_given_one_then_the_environments_then_what_the_account_allows(monkeypatch):
    assert resolve_mode("online") == "online"
    assert resolve_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert resolve_mode("auto") == "disabled"
    assert resolve_mode("offline") == "offline"


@pytest.mark.parametrize(
    ("logger", "module", "extra"),
    [(TensorBoardLogger, "torch.utils.tensorboard", "tensorboard"), (WandbLogger, "wandb", "wandb")],
)
def test_a_missing_extra_is_named(monkeypatch, tmp_path, logger, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"phis-lab\[{extra}\]"):
        logger(str(tmp_path))


@pytest.mark.parametrize(
    ("choice", "classes"),
    [
        ("none", []),
        ("csv", [CSVLogger]),
        ("tensorboard", [TensorBoardLogger]),
        ("[csv,wandb]", [CSVLogger, WandbLogger]),
    ],
)
def test_loggers_compose_by_name_and_several_at_once(tmp_path, choice, classes):
    (tmp_path / "main.yaml").write_text("defaults:\n  - logger: csv\n  - _self_\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        overrides = [f"logger={choice}", f"hydra.searchpath=[file://{CONF}]"]
        config = compose("main", overrides=overrides)
    loggers = [
        instantiate(option, _target_wrapper_=pydantic_parser, _partial_=False, folder=str(tmp_path))
        for option in config.logger.values()
    ]
    assert [type(logger) for logger in loggers] == classes
