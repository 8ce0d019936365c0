"""Records of runs that never ran, for the tests of runs, reports and the command line."""

import math
from pathlib import Path

import numpy as np

from phis_lab.runs import Data, HistoryPoint, Metric, RunRecord, write_record

TEACHERS = ("efficientnet_lite0", "mobilenetv2", "ppocr", "xfeat")


def record(method="phis", seed=0, quality=0.0, **changes):
    """A complete run; `quality` makes its numbers better, `seed` adds noise shared by all methods."""
    noise = np.random.default_rng(seed).normal(size=20)
    teacher_metrics = {name: _matching(name, quality, noise[i]) for i, name in enumerate(TEACHERS)}
    fields = {
        "name": "pocket_methods",
        "method": method,
        "choices": {"normalizer": method, "loss": "mse"},
        "overrides": [f"normalizer={method}", f"seed={seed}"],
        "seed": seed,
        "config_sha256": "0" * 64,
        "command": "python run.py -m sweep=pocket_methods",
        "commit": "1234abcd",
        "data": Data(name="cifar10", fingerprint="f00d" * 16, train_images=25_000, test_images=5_000),
        "teachers": {name: {"source": f"{name}.safetensors", "sha256": "ab" * 32} for name in TEACHERS},
        "metrics": {
            "knn/accuracy": percent(61.2 + 2 * quality + 0.3 * noise[8]),
            "linear_probe/accuracy": percent(68.9 + 1.5 * quality + 0.2 * noise[9]),
            "effective_rank/spatial": rank(87.5 - 3 * quality + 0.4 * noise[10]),
            "effective_rank/summary": rank(101.3 - 4 * quality + 0.5 * noise[11]),
        },
        "teacher_metrics": teacher_metrics,
        "history": [_point(step, quality, noise) for step in range(0, 2001, 100)],
        "steps": 2000,
        "images": 512_000,
        "wall_time_s": 180.0,
        "images_per_s": 2844.0,
        "versions": {"torch": "2.13.0"},
        "device": {"cpu": "a CPU", "threads": 2, "bf16": True},
    }
    return RunRecord(**(fields | changes))


def percent(value):
    return Metric(value=value, unit="%", higher_is_better=True)


def rank(value):
    return Metric(value=value, unit="rank", higher_is_better=None)


def write_study(root: Path, records) -> Path:
    """Writes each record into a folder of its own, by content, as runs do."""
    for number, item in enumerate(records):
        write_record(root / item.method / f"seed{item.seed}_{number}", item)
    return root


def _matching(teacher, quality, noise):
    error = 0.55 + 0.12 * TEACHERS.index(teacher) - 0.04 * quality + 0.006 * noise
    values = {
        "mse": 3 * error,
        "fidelity": 1 / error,
        "fidelity_global": 1.2 / error,
        "cosine": 1 - error / 2,
        "error_variance_range": error,
    }
    alike = {"cka": 1 - error / 3, "cka_unbiased": 0.99 - error / 3}
    spectrum = {"unexplained_first_half": error / 2, "unexplained_last_tenth": error + 0.2}
    kinds = {"spatial": values | {"error_variance_range_normalized": 2 * error} | alike | spectrum}
    if teacher in TEACHERS[:2]:
        kinds["summary"] = {key: value * 1.1 for key, value in (values | alike).items()}
    return kinds


def _point(step, quality, noise):
    matched = {}
    for i, teacher in enumerate(TEACHERS):
        final = 1 / _matching(teacher, quality, noise[i])["spatial"]["fidelity"]
        error = final + (2.5 - final) * math.exp(-step / (400 + 40 * i - 60 * quality))
        matched[teacher] = {"spatial": {"fidelity": 1 / (error * (1 + 0.02 * noise[4 + i]))}}
    return HistoryPoint(step=step, teacher_metrics=matched)
