"""The panels of a method comparison, from what the runs of a study have told: no panel shows what nobody logged."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from phis_lab.runs import RunRecord, find_records
from phis_lab.runs.loggers.numbers import METHODS_TABLE, PICTURES
from phis_lab.runs.record import ARROWS

PanelKind = Literal["lines", "bars", "table", "images"]
SYSTEM = {
    "CPU (%)": "system/cpu",
    "Memory of the machine (%)": "system/memory_percent",
    "Memory of the process (MB)": "system/proc.memory.rssMB",
    "GPU (%)": "system/gpu.0.gpu",
    "Memory of the GPU (%)": "system/gpu.0.memoryAllocated",
}
"""What W&B measures by itself of every machine that it knows; a machine without a GPU leaves its panels empty."""


class Panel(NamedTuple):
    """One panel.

    Attributes:
        kind: lines over steps, bars by method, a table, or images.
        title: with the unit, and an arrow where one direction is better.
        metrics: the names that it shows.
        log_y: whether its numbers are spread over orders of magnitude.
    """

    kind: PanelKind
    title: str
    metrics: tuple[str, ...]
    log_y: bool = False


class PanelSection(NamedTuple):
    """Panels of one question."""

    title: str
    about: str
    panels: tuple[Panel, ...]


class Told(NamedTuple):
    """What the runs below a folder told: their records, the names that they logged, and whether they left pictures."""

    records: Mapping[Path, RunRecord]
    logged: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def studies(self) -> list[str]:
        """Names of the studies, in their order."""
        return list(dict.fromkeys(record.name for record in self.records.values()))


def told_below(folder: Path) -> Told:
    """Reads the records below a folder, and the heads of the `metrics.csv` files beside them.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no run below it is complete.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    records = {run: record for run, record in find_records(folder).records.items() if record.status == "complete"}
    if not records:
        raise ValueError(f"no run below {folder} is complete; train one, or name the folder of a study")
    logged = dict.fromkeys(name for run, record in records.items() for name in _logged(run, record))
    return Told(records, tuple(logged), tuple(dict.fromkeys(name for run in records for name in _columns(run))))


def sections_of(told: Told) -> list[PanelSection]:
    """The sections of a comparison of methods, in the order in which one reads it; none is empty."""
    sections = [
        PanelSection("Methods", "Every final number of every run; the columns tell units and directions.", _tables()),
        PanelSection(
            "Loss per teacher, in its own space",
            "Squared errors after the way back through the normaliser, so that methods can be compared.",
            tuple(_losses(told)),
        ),
        PanelSection(
            "Fidelity by method",
            "The teacher's variance over the squared error; 1 is no better than the teacher's mean.",
            tuple(_fidelity(told)),
        ),
        PanelSection("Probes", "What frozen features are good for.", tuple(_probes(told))),
        PanelSection(
            "Training", "The loss that is minimised is in each method's own units: compare its course alone.",
            tuple(_lines(told, (name for name in told.logged if name in {"train/loss", "train/lr"}))),
        ),
        PanelSection("Cost", "What a run took; arms of one process share its time.", tuple(_cost(told))),
        PanelSection(
            "System", "What W&B measures while a run trains.",
            tuple(Panel("lines", title, (name,)) for title, name in SYSTEM.items()),
        ),
        PanelSection("Pictures", "Student and teachers as colours, and nearest neighbours.", tuple(_images(told))),
    ]  # fmt: skip
    return [section for section in sections if section.panels]


def _tables() -> tuple[Panel, ...]:
    return (Panel("table", "Final numbers", (METHODS_TABLE,)),)


def _losses(told: Told) -> Iterator[Panel]:
    for teacher in _teachers(told):
        names = [f"train/{teacher}/teacher_mse"]
        names += [name for name in told.logged if name.startswith(f"test/{teacher}/") and name.endswith("/mse")]
        yield from _lines(told, names, log_y=True)


def _fidelity(told: Told) -> Iterator[Panel]:
    for teacher, kind in _teachers(told).items():
        for name in kind:
            yield Panel("bars", f"{teacher} {name} fidelity ↑", (f"{teacher}/{name}/fidelity",))
            yield from _lines(told, [f"test/{teacher}/{name}/fidelity"])


def _probes(told: Told) -> Iterator[Panel]:
    probes = {name: metric for record in told.records.values() for name, metric in record.metrics.items()}
    for name, metric in probes.items():
        if not metric.detail:
            unit = f" ({metric.unit})" if metric.unit else ""
            yield Panel(
                "bars", f"{name.replace('/', ' ').replace('_', ' ')}{unit}{ARROWS[metric.higher_is_better]}", (name,)
            )
            yield from _lines(told, [f"test/{name}"])


def _cost(told: Told) -> Iterator[Panel]:
    yield Panel("bars", "Wall time (s)", ("cost/wall_time_s",))
    yield Panel("bars", "Images per second", ("cost/images_per_s",))
    yield Panel("bars", "Images seen", ("cost/images",))


def _images(told: Told) -> Iterator[Panel]:
    if told.columns:
        yield Panel("images", "Test images and what is seen in them", told.columns)


def _lines(told: Told, names: Iterable[str], log_y: bool = False) -> Iterator[Panel]:
    """A panel of lines for each of the names that was logged."""
    for name in names:
        if name in told.logged:
            yield Panel("lines", name, (name,), log_y)


def _teachers(told: Told) -> dict[str, list[str]]:
    """Kinds of features that any run was matched on, by teacher."""
    found: dict[str, list[str]] = {}
    for record in told.records.values():
        for teacher, kinds in record.teacher_metrics.items():
            known = found.setdefault(teacher, [])
            known += [kind for kind, values in kinds.items() if kind not in known and "fidelity" in values]
    return found


def _logged(run: Path, record: RunRecord) -> list[str]:
    """Names that a run logged by step: of its `metrics.csv`, or else of the evaluations in its record."""
    path = run / "metrics.csv"
    if path.is_file():
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            return [name for name in next(csv.reader(file), []) if name != "step"]
    return [
        *(f"test/{name}" for point in record.history for name in point.metrics),
        *(
            f"test/{teacher}/{kind}/{name}"
            for point in record.history
            for teacher, kinds in point.teacher_metrics.items()
            for kind, values in kinds.items()
            for name in values
        ),
    ]


def _columns(run: Path) -> list[str]:
    """Names of the columns of the pictures that a run left."""
    if not (run / "pictures.safetensors").is_file():
        return []
    from phis_lab.evals.tasks.pictures import read_pictures  # noqa: PLC0415  torch, which records can do without

    try:
        return [f"{PICTURES}/{name}" for name in sorted(read_pictures(run))]
    except (ValueError, OSError):
        return []
