"""Trains the golden recipes and reads what they left as exact hexadecimal floats."""

import csv
import hashlib
import os
import platform
import socket
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from recipes import IN_TWO_PROCESSES, RECIPES, SMALL

import phis_lab._torchvision  # noqa: F401  before lightning
from phis_lab import app
from phis_lab.config.compose import composer
from phis_lab.config.jobs import create_job
from phis_lab.runs.job import Job
from phis_lab.runs.record import read_record

NUMERIC = ("torch", "numpy", "scipy", "scikit-learn", "timm", "open_clip_torch")


def machine() -> dict[str, str]:
    """What decides about the last bit of a result."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = " ".join(sorted(told.get("flags", platform.machine()).split()))
    return {
        "processor": told.get("model name", platform.processor()),
        "flags": hashlib.sha256(flags.encode()).hexdigest()[:16],
        "capability": torch.backends.cpu.get_cpu_capability(),
        "mkl": os.environ.get("MKL_CBWR", "") + os.environ.get("MKL_ENABLE_INSTRUCTIONS", ""),
        **{name: version(name) for name in NUMERIC},
    }


def train_all(folder: Path) -> dict[str, dict[str, Any]]:
    """Train every recipe with one thread, and read what it measured."""
    torch.set_num_threads(1)
    mp.start_processes(_train_as, (_free_port(), folder), nprocs=2, start_method="fork")  # before autograd has threads
    jobs = _jobs(RECIPES, folder)
    assert not (failures := app.train_sweep(list(jobs.values()))), failures
    return {name: _measured(folder / name) for name in (*RECIPES, *IN_TWO_PROCESSES)}


def _jobs(recipes: Mapping[str, tuple[str, ...]], folder: Path, *further: str) -> dict[str, Job]:
    jobs = {}
    with composer([]) as of_command:
        for name, choices in recipes.items():
            overrides = [text.replace("{folder}", str(folder)) for text in (*SMALL, *further, *choices)]
            jobs[name] = create_job(of_command.compose(overrides), folder / name)
    return jobs


def _train_as(rank: int, port: int, folder: Path) -> None:
    """One of the two processes of the data-parallel group."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
    torch.set_num_threads(1)
    jobs = _jobs(IN_TWO_PROCESSES, folder, "strategy=ddp", "strategy.backend=gloo", "~teachers.dfn_clip")
    app.train(list(jobs.values()), {job.folder: job.folder.name for job in jobs.values()})


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _measured(folder: Path) -> dict[str, Any]:
    """Every number that a run logged and recorded, but for times."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps: dict[str, dict[str, str]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "step" and value:
                steps.setdefault(name, {})[row["step"]] = float(value).hex()
    record = read_record(folder / "result.json")
    return {
        "status": record.status,
        "logged": steps,
        "metrics": {name: metric.value.hex() for name, metric in sorted(record.metrics.items())},
        "teachers": {
            f"{teacher}/{kind}/{name}": float(value).hex()
            for teacher, kinds in sorted(record.teacher_metrics.items())
            for kind, values in sorted(kinds.items())
            for name, value in sorted(values.items())
        },
    }
