"""Records as pandas tables."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from phis_lab.reports.leaders import by_seed, is_at_floor, leaders
from phis_lab.runs import Metric, RunRecord
from phis_lab.runs.record import LOWER_IS_BETTER

MEAN_SCORES = {"fidelity": 1.0, "unexplained_first_half": 1.0, "unexplained_last_tenth": 1.0}
"""What predicting the teacher's mean gives, the floor of these teacher-matching metrics."""

OWN_SPACE = ("_mapped", "_normalized")
"""Ends of the names of what is measured in a space that each method has for itself."""

Rows = dict[str, dict[str, Any]]


class Column(NamedTuple):
    """What one column of numbers means.

    Attributes:
        metric: its name.
        unit: of the numbers.
        higher_is_better: None where neither direction is better.
        detail: whether it stands in a table of its own.
        floor: what knowing nothing scores, in the same unit; None where it is not known.
        at_floor: whether no method of the study beats the floor.
    """

    metric: str
    unit: str
    higher_is_better: bool | None
    detail: bool = False
    floor: float | None = None
    at_floor: bool = False

    @property
    def comparable(self) -> bool:
        """Whether methods can be compared by it: it has a direction, one space, and someone above its floor."""
        return self.higher_is_better is not None and not self.metric.endswith(OWN_SPACE) and not self.at_floor

    @property
    def judged(self) -> bool:
        """Whether methods are ranked, compared and tested by it."""
        return self.comparable and not self.detail

    @property
    def perfect(self) -> float:
        """The best possible value, as far as its unit tells."""
        if not self.higher_is_better:
            return 0.0
        return 100.0 if self.unit.startswith("%") else math.inf


def teacher_metric(record: RunRecord, teacher: str, key: str) -> str:
    """The name of a teacher's matching metric: of its spatial features, or else of its summary."""
    kinds = record.teacher_metrics[teacher]
    return f"{teacher}/{'spatial' if 'spatial' in kinds else 'summary'}/{key}"


def measurements(records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row per measured number: method, seed, metric (`knn/accuracy`, `<teacher>/<kind>/<key>`), value.

    Fractions become percent.
    """
    rows = [(r.method, r.seed, column.metric, value) for r in records for column, value in _numbers(r)]
    return pd.DataFrame(rows, columns=["method", "seed", "metric", "value"])


def columns(records: Sequence[RunRecord]) -> dict[str, Column]:
    """Unit, direction and floor of every metric of comparable records; of several floors the one hardest to beat.

    Raises:
        ValueError: two records state another unit or direction of the same metric.
    """
    found: dict[str, Column] = {}
    floors: dict[str, list[float]] = {}
    for record in records:
        for column, _ in _numbers(record):
            if column.floor is not None:
                floors.setdefault(column.metric, []).append(column.floor)
            stated = column._replace(floor=None)
            if found.setdefault(column.metric, stated) != stated:
                raise ValueError(
                    f"{column.metric} is recorded as {found[column.metric]} and as {stated}: "
                    "these runs measured different things; report them from separate folders"
                )
    numbers = measurements(records)
    return found | {name: _above(numbers, found[name], known) for name, known in floors.items()}


def summary(numbers: pd.DataFrame) -> pd.DataFrame:
    """Mean, sample standard deviation (n - 1; NaN for one seed) and number of seeds, per method and metric.

    One seed that diverged to NaN makes the mean NaN: it is not left out. Zero has no sign.
    """
    groups = numbers.groupby(["method", "metric"], sort=False)["value"]
    frame = pd.DataFrame(
        {"mean": groups.mean(skipna=False) + 0.0, "std": groups.std(skipna=False), "seeds": groups.size()}
    )
    return frame.reset_index()


def means(numbers: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, methods by metrics, of the metrics that every method has and can be ranked by."""
    per_method = numbers.groupby("metric")["method"].nunique()
    shared = per_method.index[per_method == numbers["method"].nunique()]
    kept = summary(numbers[numbers["metric"].isin(shared)])
    table = kept.pivot(index="method", columns="metric", values="mean")
    return table.reindex(index=kept["method"].unique(), columns=kept["metric"].unique())


def downwards(metrics: Iterable[str], meaning: Mapping[str, Column]) -> list[str]:
    """Those of some metrics of which the smallest value is the best."""
    return [name for name in metrics if meaning[name].higher_is_better is False]


def leading(numbers: pd.DataFrame, column: Column) -> frozenset[str]:
    """The leaders by a metric; nobody where it does not compare methods."""
    if not column.comparable:
        return frozenset()
    return leaders(by_seed(numbers, column.metric), column.higher_is_better is True)


def by_method(frame: pd.DataFrame, metric: str) -> Rows:
    """The rows of one metric, as dictionaries by method."""
    rows = frame[frame["metric"] == metric].to_dict("records")
    return {row["method"]: {str(name): value for name, value in row.items()} for row in rows}


def _above(numbers: pd.DataFrame, column: Column, floors: Sequence[float]) -> Column:
    if column.higher_is_better is None:
        return column
    floor = (max if column.higher_is_better else min)(floors)
    at_floor = is_at_floor(by_seed(numbers, column.metric), floor, column.higher_is_better, column.perfect)
    return column._replace(floor=floor, at_floor=at_floor)


def _numbers(record: RunRecord) -> Iterator[tuple[Column, float]]:
    for name, metric in record.metrics.items():
        yield _shown(name, metric)
    for teacher, kinds in record.teacher_metrics.items():
        for kind, values in kinds.items():
            for key, value in values.items():
                name = key.removesuffix("_mapped")
                floor = MEAN_SCORES.get(name)
                yield Column(f"{teacher}/{kind}/{key}", "", name not in LOWER_IS_BETTER, floor=floor), value


def _shown(name: str, metric: Metric) -> tuple[Column, float]:
    """Fractions in percent, and fractions of something in percent of it."""
    is_fraction = metric.unit.partition(" of ")[0] == "fraction"
    unit, scale = (metric.unit.replace("fraction", "%", 1), 100) if is_fraction else (metric.unit, 1)
    floor = None if metric.floor is None else scale * metric.floor
    return Column(name, unit, metric.higher_is_better, metric.detail, floor), scale * metric.value
