"""Commands in their smallest form, what they need, and what an undisturbed one of them leaves."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from drawn_images import DrawnImages
from fault_children import Command
from hydra import compose, initialize_config_dir
from safetensors import safe_open
from small_arms import make_arm, make_group, patch_pool

from phis_lab.commands.evaluate import evaluate_run
from phis_lab.commands.export import export_run
from phis_lab.config.assemble import assemble
from phis_lab.config.exported import load_exported
from phis_lab.config.jobs import create_job
from phis_lab.config.option_files import CONF
from phis_lab.config.resolvers import register_resolvers
from phis_lab.engine import train_group
from phis_lab.engine.arm_checkpoint import load_checkpoint
from phis_lab.linalg import Moments
from phis_lab.losses import AdaLoss, HybridSmoothL1
from phis_lab.normalizers import PCAWhiten, PhiS
from phis_lab.runs import read_record
from phis_lab.runs.lock import run_lock
from phis_lab.strategies import DataParallel
from phis_lab.survey import stats
from phis_lab.survey.passes import Collected
from phis_lab.survey.statistics import Statistics, read_statistics
from phis_lab.survey.summary import summarise
from phis_lab.teachers.store import FeatureStore, table

ARMS = {
    "phis": partial(make_arm, normalizer=PhiS),
    "whiten": lambda pool: make_arm(pool, PCAWhiten, loss=HybridSmoothL1(), balancer=AdaLoss()),
}
FINISHED = [
    "debug=smoke", "logger=none", "augmentation.image_size=32", "student.image_size=32", "data.batch_size=8",
    "data.train_images=64", "trainer.max_steps=6", "online.steps=4", "online.warmup_steps=2", "online.refresh_every=1",
    "evaluation.every=6", "evaluation.train_images=40", "evaluation.test_images=20", "evaluation.matching_images=10",
]  # fmt: skip
"""Of a run that `evaluate` and `export` go on from."""
PRUNING = ["task=pruning"] + [
    f"evaluation.tasks.pruning.{option}" for option in ("shares=[0.0,0.5]", "train_images=40", "test_images=20")
]


def _train(arms: tuple[str, ...], world: int, rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    group = make_group(folder, {key: ARMS[key] for key in arms}, max_steps=8, checkpoint_every=2)
    if world > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
        group.strategy = DataParallel(devices=world, backend="gloo", timeout_s=120)
    with _locked([run.folder for run in group.runs]):
        train_group(group)


@contextmanager
def _locked(folders: list[Path]) -> Iterator[None]:
    if not folders:
        yield
        return
    with run_lock(folders[0]), _locked(folders[1:]):
        yield


def _cache(rank: int, port: int, folder: Path) -> None:
    with mock.patch.object(table, "SHARD_BYTES", 1):  # blocks of 16 rows: three shards per view
        FeatureStore(folder / "store", "float16", patch_pool(), [(2, 3)], DrawnImages()).prepare(torch.device("cpu"))


def _stats(rank: int, port: int, folder: Path) -> None:
    """What the command does once its pass is over, for until then it writes nothing."""
    statistics, moments = {}, {}
    for name, channels in (("quiet", 6), ("loud", 8)):
        collected = Collected((2, 2), channels)
        generator = torch.Generator().manual_seed(channels)
        collected.update(torch.randn(60, 2, 2, channels, generator=generator) * torch.arange(channels))
        facts = {"teacher": name, "image_size": "32", "sha256": "ab" * 32, "layer": "last", "data": "cd" * 32}
        collected.moments.provenance = facts | {"precision": "float32", "grid": "2x2"}
        statistics[f"{name}-32px-2x2"] = summarise(collected, "hub")
        moments[f"{name}-32px-2x2.safetensors"] = collected.moments
    before = read_statistics(folder / "statistics")
    with mock.patch.object(stats, "write_figure", _drawn):
        stats.write_folder(folder / "statistics", before.joined(Statistics(teachers=statistics)), moments)


def _drawn(figure: object, stem: Path, formats: object) -> list[Path]:
    """A figure in the time that a kill takes."""
    path = stem.with_name(f"{stem.name}.png")
    path.write_bytes(b"drawn")
    return [path]


def _evaluate(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    evaluate_run(folder / "run", PRUNING)


def _export(rank: int, port: int, folder: Path) -> None:
    """Once it has ended well, the same command would be refused: there is a student already."""
    if not (folder / "exported" / "student.json").exists():
        export_run(folder / "run", folder / "exported")


def train_finished(folder: Path) -> None:
    """Trains the run that `evaluate` and `export` go on from."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        job = create_job(compose("config", FINISHED, return_hydra_config=True), folder)
    train_group(assemble([job], {job.folder: "phis"}))


def content(folder: Path) -> dict[str, object]:
    """Everything that a command left: the bytes of every file but of what tells times, and of those what was learned.

    A killed command's hidden files are part of it, for none may stay.
    """
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "result.json":
            record = read_record(path)
            found[name] = (record.metrics, record.teacher_metrics, record.history, record.steps, record.status)
        elif path.name == "checkpoint.pt":
            state = torch.load(path, weights_only=True)
            found[name] = {key: value.tolist() for key, value in state["arm"]["modules"].items()}
        elif path.suffix == ".safetensors":  # whose metadata has no order
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key).tolist() for key in file.keys()}  # noqa: SIM118  not a mapping
                found[name] = (tensors, file.metadata())
        elif path.name == "progress.json":
            found[name] = "there"
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def assert_whole(folder: Path) -> None:
    """Whatever lies under its own name after a kill is whole."""
    for path in folder.rglob("result.json"):
        read_record(path)
    for path in folder.rglob("checkpoint.pt"):
        assert load_checkpoint(path.parent, torch.load(path, weights_only=True)["config_sha256"], newest=True)
    for path in folder.rglob("statistics/*.safetensors"):
        Moments.load(path)
    read_statistics(folder / "statistics")
    if (folder / "exported" / "student.json").exists():
        load_exported(folder / "exported")


class Row(NamedTuple):
    """A command: what it calls, in how many processes, and whether it goes on from a finished run."""

    command: Command
    world: int = 1
    of_finished: bool = False


ROWS: dict[str, Row] = {
    "run": Row(partial(_train, ("phis",), 1)),
    "sweep": Row(partial(_train, ("phis", "whiten"), 1)),
    "run in two processes": Row(partial(_train, ("phis",), 2), world=2),
    "cache": Row(_cache),
    "stats": Row(_stats),
    "evaluate": Row(_evaluate, of_finished=True),
    "export": Row(_export, of_finished=True),
}
Prepared = Callable[[Row, Path], Any]
