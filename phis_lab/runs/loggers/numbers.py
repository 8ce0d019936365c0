"""What views make of names, records and pictures: which way is better, final numbers, rows of methods, strips."""

import numpy as np

from phis_lab.runs.record import ARROWS, LOWER_IS_BETTER, RunRecord

METHODS_TABLE = "result/methods"
PICTURES = "result/pictures"
NAME_LENGTH = 128
"""Characters that W&B takes in the names of runs and groups."""
_SIDE = 96
_UPWARDS = {"accuracy", "fidelity", "fidelity_global", "cosine", "cka", "cka_unbiased", "miou", "auroc", "aupr", "map"}
_DESCRIBING = {"lr"}


def best_of(name: str) -> str | None:
    """Which extreme of a logged number a reader looks for, `min` or `max`; None where its name does not tell.

    >>> best_of("train/dinov2_g/spatial"), best_of("test/knn/accuracy"), best_of("test/effective_rank/summary")
    ('min', 'max', None)
    """
    place, _, rest = name.partition("/")
    last = rest.rpartition("/")[2]
    if place == "train":
        return None if last in _DESCRIBING else "min"
    if last in _UPWARDS:
        return "max"
    return "min" if last in LOWER_IS_BETTER else None


def final_numbers(record: RunRecord) -> dict[str, float]:
    """The numbers of a finished run by name: its metrics, `<teacher>/<kind>/<metric>`, and its cost with units."""
    matching = {
        f"{teacher}/{kind}/{name}": value
        for teacher, kinds in record.teacher_metrics.items()
        for kind, values in kinds.items()
        for name, value in values.items()
    }
    return {name: metric.value for name, metric in record.metrics.items()} | matching | cost_of(record)


def cost_of(record: RunRecord) -> dict[str, float]:
    """What a run took, each number with its unit in its name."""
    return {
        "cost/wall_time_s": record.wall_time_s,
        "cost/images_per_s": record.images_per_s,
        "cost/images": float(record.images),
        "cost/steps": float(record.steps),
    }


def method_row(record: RunRecord) -> dict[str, str | float]:
    """One row of the table of methods: method, seed, and every final number under its name, unit and direction."""
    row: dict[str, str | float] = {"method": record.method, "seed": float(record.seed), "status": record.status}
    for name, value in final_numbers(record).items():
        metric = record.metrics.get(name)
        unit = f" ({metric.unit})" if metric is not None and metric.unit else ""
        row[name + unit + _arrow(name, record)] = value
    return row


def _arrow(name: str, record: RunRecord) -> str:
    if name in record.metrics:
        upwards = record.metrics[name].higher_is_better
    else:
        upwards = {"max": True, "min": False}.get(best_of(f"test/{name}") or "")
    return ARROWS[upwards]


def strip(pixels: np.ndarray) -> np.ndarray:
    """A column of images [n, h, w, 3] side by side as one image, none of them smaller than 96 pixels."""
    larger = max(1, _SIDE // max(pixels.shape[1:3]))
    return np.concatenate(list(pixels.repeat(larger, axis=1).repeat(larger, axis=2)), axis=1)


def shortened(text: str, length: int) -> str:
    """Both ends of a text that is too long."""
    half = (length - 3) // 2
    return text if len(text) <= length else f"{text[:half]}...{text[-half:]}"
