"""Records as pandas tables."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from phis_lab.tracking import RunRecord

LOWER_IS_BETTER = frozenset(
    {
        "mse",
        "error_variance_range",
        "error_variance_range_normalized",
        "unexplained_first_half",
        "unexplained_last_tenth",
    }
)
"""Of the teacher-matching metrics; the others (fidelity, cosine, CKA) grow with the match."""

Rows = dict[str, dict[str, Any]]


class Column(NamedTuple):
    """What one column of numbers means; `higher_is_better` is None where neither direction is better."""

    metric: str
    unit: str
    higher_is_better: bool | None
    detail: bool = False

    @property
    def judged(self) -> bool:
        """Whether methods are ranked, compared and tested by it."""
        return self.higher_is_better is not None and not self.detail


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
    """Unit and direction of every metric of the records.

    Raises:
        ValueError: two records state another unit or direction of the same metric.
    """
    found: dict[str, Column] = {}
    for record in records:
        for column, _ in _numbers(record):
            if found.setdefault(column.metric, column) != column:
                raise ValueError(
                    f"{column.metric} is recorded as {found[column.metric]} and as {column}: "
                    "these runs measured different things; report them from separate folders"
                )
    return found


def summary(numbers: pd.DataFrame) -> pd.DataFrame:
    """Mean, sample standard deviation (n - 1; NaN for one seed) and number of seeds, per method and metric.

    One seed that diverged to NaN makes the mean NaN: it is not left out.
    """
    groups = numbers.groupby(["method", "metric"], sort=False)["value"]
    frame = pd.DataFrame({"mean": groups.mean(skipna=False), "std": groups.std(skipna=False), "seeds": groups.size()})
    return frame.reset_index()


def means(numbers: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, methods by metrics, of the metrics that every method has and can be ranked by."""
    per_method = numbers.groupby("metric")["method"].nunique()
    shared = per_method.index[per_method == numbers["method"].nunique()]
    kept = summary(numbers[numbers["metric"].isin(shared)])
    table = kept.pivot(index="method", columns="metric", values="mean")
    return table.reindex(index=kept["method"].unique(), columns=kept["metric"].unique())


def by_method(frame: pd.DataFrame, metric: str) -> Rows:
    """The rows of one metric, as dictionaries by method."""
    rows = frame[frame["metric"] == metric].to_dict("records")
    return {row["method"]: {str(name): value for name, value in row.items()} for row in rows}


def _numbers(record: RunRecord) -> Iterator[tuple[Column, float]]:
    for name, metric in record.metrics.items():
        unit, scale = ("%", 100) if metric.unit == "fraction" else (metric.unit, 1)
        yield Column(name, unit, metric.higher_is_better, metric.detail), scale * metric.value
    for teacher, kinds in record.teacher_metrics.items():
        for kind, values in kinds.items():
            for key, value in values.items():
                yield Column(f"{teacher}/{kind}/{key}", "", key.removesuffix("_mapped") not in LOWER_IS_BETTER), value
