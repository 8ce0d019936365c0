"""One study's part of a report: its numbers, tables and figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from phis_lab.reports.evidence import UNTESTED, Evidence
from phis_lab.reports.figures import loss_curves, method_differences, method_values
from phis_lab.reports.intervals import paired_differences
from phis_lab.reports.published import published_sheet
from phis_lab.reports.ranks import Category, average_ranks, default_categories
from phis_lab.reports.sheets import Sheet, difference_sheet, heading, rank_sheet, seeds_of, value_sheet
from phis_lab.reports.studies import Study
from phis_lab.reports.style import looks
from phis_lab.reports.tables import Column, columns, downwards, means, measurements, teacher_metric

_MEANS = "Mean over seeds ± sample standard deviation (none for one seed)."
_BOLD = (
    "Bold: the best, and every method whose difference to it, paired by seed, has a 95 % t interval that includes "
    "zero; with one seed nothing is bold."
)
_FLOOR = "The floor is what a student that knows nothing reaches."
_RANKS = (
    "1 is best; ties share the lowest rank; ranks are averaged in each category, then over categories. Teachers are "
    "ranked by their spatial features alone, as in PHI-S."
)
_DESCRIBED = (
    f"{_MEANS} Neither direction is better: not ranked, not "
    "tested. An effective rank (RankMe) counts the directions that the student's tokens use, from 1 to their channels. "
    "A map into the student's space is described by its singular values, by how far it is from a scaled one with "
    "orthonormal rows (deviation, procrustes: 0 is orthogonal), and by how its cosines go with the teacher's."
)
_MATCHING = (
    "All is in the teacher's own space but the normalised range. Both fidelities are the teacher's variance "
    "over the mse: of every channel about its own mean, and (global) of all elements about one mean. CKA is of the "
    "student's tokens, before the head. Unexplained is error variance over teacher variance, along the leading "
    "principal components with half of the teacher's variance and along the trailing ones with its last tenth; "
    "predicting the mean scores 1. What is mapped is in the student's space, for a method that has no way back to the "
    "teacher's; like the normalised range it is in a space of each method's own, and so never bold. The same holds for "
    "the tables of the other teachers."
)


@dataclass(frozen=True)
class Section:
    """Everything that is shown of one study.

    Args:
        study: comparable runs.
        baseline: the method that the others are compared with, or None for no comparison.
    """

    study: Study
    baseline: str | None

    @cached_property
    def numbers(self) -> pd.DataFrame:
        """All measurements, the baseline's first and then by method: the order of every table and figure."""
        numbers = measurements(self.study.records)
        after = numbers["method"] != self.baseline
        order = pd.DataFrame({"after": after, "method": numbers["method"].str.casefold(), "seed": numbers["seed"]})
        return numbers.loc[order.sort_values(["after", "method", "seed"], kind="stable").index]

    @cached_property
    def judged(self) -> pd.DataFrame:
        """The measurements of metrics that have a better direction and are beaten: what is compared and tested."""
        judged = {name for name, column in self.meaning.items() if column.judged}
        return self.numbers[self.numbers["metric"].isin(judged)]

    @cached_property
    def methods(self) -> list[str]:
        """Labels of the methods, in the order of every table and figure."""
        return list(dict.fromkeys(self.numbers["method"]))

    @cached_property
    def paired(self) -> pd.DataFrame:
        """Differences to the baseline; empty without one."""
        if self.baseline is None or self.baseline not in set(self.judged["method"]):
            return pd.DataFrame()
        return paired_differences(self.judged, self.baseline)

    @cached_property
    def meaning(self) -> dict[str, Column]:
        """Unit and direction of every metric."""
        return columns(self.study.records)

    @cached_property
    def headline(self) -> list[Column]:
        """The metrics of the main table: downstream, then the fidelity to each teacher."""
        downstream = dict.fromkeys(name for record in self.study.records for name in record.metrics)
        fidelity = dict.fromkeys(
            teacher_metric(record, teacher, "fidelity")
            for record in self.study.records
            for teacher in record.teacher_metrics
        )
        columns = [self.meaning[name] for name in [*downstream, *fidelity] if name in self.meaning]
        return [column for column in columns if column.higher_is_better is not None and not column.detail]

    @cached_property
    def categories(self) -> dict[str, Category]:
        """What the average ranks are made of: judged metrics that every method has."""
        return {} if self.judged.empty else default_categories(means(self.judged).columns, self.study.teachers)

    @cached_property
    def ranks(self) -> pd.DataFrame | None:
        """Average ranks over the categories; None where there is none."""
        if not self.categories:
            return None
        table = means(self.judged)
        return average_ranks(table, self.categories, lower_is_better=downwards(table.columns, self.meaning))

    @cached_property
    def published(self) -> Sheet | None:
        """The average ranks beside the paper's; None where no method repeats a row of it."""
        if self.ranks is None:
            return None
        return published_sheet(self.study.records, self.ranks["Avg"], seeds_of(self.judged))

    @cached_property
    def evidence(self) -> Evidence:
        """What the seeds support."""
        return Evidence(self.judged, self.paired, self.baseline, self.headline, self.meaning, self.study.teachers)

    def sheets(self) -> list[Sheet]:
        """The tables for a screen: values with ranks, differences to the baseline, the verdict, the paper's ranks."""
        average = None if self.ranks is None else self.ranks["Avg"]
        first = self.evidence.first.get("Avg", ())
        caption = self._caption(self.headline)
        sheets = [value_sheet("Methods", caption, self.numbers, self.headline, average, first=first)]
        if not self.paired.empty:
            sheets.append(self._differences())
        sheets += self.evidence.sheets()
        return sheets if self.published is None else [*sheets, self.published]

    def details(self) -> list[Sheet]:
        """The tables for the file: ranks per category, the differences again, each teacher's matching in detail."""
        sheets = []
        if self.ranks is not None:
            caption = _RANKS if self.evidence.test is not None else f"{_RANKS} {UNTESTED}"
            seeds = seeds_of(self.judged)
            sheets.append(rank_sheet("Average ranks", caption, self.ranks, self.evidence.first, seeds))
        sheets += self.evidence.details()
        details: dict[str, list[Column]] = {}
        for name, column in self.meaning.items():
            if column.detail:
                details.setdefault(name.partition("/")[0], []).append(column)
        for task, shown in details.items():
            title = f"{task.replace('_', ' ')} in detail"
            caption = self._caption(shown)
            sheets.append(value_sheet(title.capitalize(), caption, self.numbers, shown, prefix=f"{task}/"))
        described = [
            column for column in self.meaning.values() if column.higher_is_better is None and not column.detail
        ]
        if described:
            sheets.append(value_sheet("Described, not judged", _DESCRIBED, self.numbers, described))
        return sheets + self._matching()

    def _matching(self) -> list[Sheet]:
        """All metrics of every teacher, a table for each kind of its features; the first explains the columns."""
        downstream = {name for record in self.study.records for name in record.metrics}
        columns_of: dict[str, list[Column]] = {}
        for name, column in self.meaning.items():
            if name not in downstream:
                columns_of.setdefault(name.rpartition("/")[0], []).append(column)
        return [
            value_sheet(
                f"Teacher matching in detail: {place.removesuffix('/spatial').replace('/', ', ')}",
                self._caption(shown) if number else f"{self._caption(shown)} {_MATCHING}",
                self.numbers,
                shown,
                prefix=f"{place}/",
            )
            for number, (place, shown) in enumerate(columns_of.items())
        ]

    def figures(self) -> dict[str, Figure]:
        """Figures by name: no losses without a history, no differences without intervals."""
        look = looks(self.methods)
        drawn = {"values": method_values(self.numbers, self.headline, look)} if self.headline else {}
        history = loss_history(self.study)
        if not history.empty:
            drawn["losses"] = loss_curves(history, look)
        if self.baseline is not None and not self.paired.empty and self.paired["low"].notna().any():
            drawn["differences"] = method_differences(
                self.paired, self.baseline, [column for column in self.headline if column.judged], look
            )
        return drawn | self.evidence.figures(look)

    def _caption(self, shown: Sequence[Column]) -> str:
        """How to read a table of values."""
        parts = [_MEANS, _BOLD, *([_FLOOR] if any(column.floor is not None for column in shown) else [])]
        if beaten_by_none := [heading(column) for column in shown if column.at_floor]:
            parts.append(
                f"Not ranked and not compared: {', '.join(beaten_by_none)}. No method is clear of the floor, with "
                "95 % confidence and by a hundredth of the way to a perfect score."
            )
        return " ".join(parts)

    def _differences(self) -> Sheet:
        if self.paired["seeds"].max() == 1:
            caption = "One seed: no interval. Whether it was the method or the seed cannot be told."
        else:
            caption = (
                "Mean difference over the shared seeds ± half of its 95 % t interval (for each alone); "
                "bold where the interval excludes zero."
            )
        compared = [column for column in self.headline if column.judged]
        return difference_sheet(f"Difference to {self.baseline}", caption, self.paired, compared)


def loss_history(study: Study) -> pd.DataFrame:
    """Error relative to the teacher's variance, 1 / fidelity, of the evaluations during training.

    Columns method, seed, teacher, step, value; an infinite error has no place on the axis and is left out.
    """
    frame = matching_history(study, "fidelity")
    frame["value"] = 1 / frame["value"]
    return frame[(frame["value"] > 0) & (frame["value"] < float("inf"))]


def matching_history(study: Study, key: str) -> pd.DataFrame:
    """A teacher-matching metric of the evaluations during training: of spatial features, or else of the summary.

    Columns method, seed, teacher, step, value; NaN where it was not measured.
    """
    rows = [
        (record.method, record.seed, teacher, point.step, kinds["spatial" if "spatial" in kinds else "summary"])
        for record in study.records
        for point in record.history
        for teacher, kinds in point.teacher_metrics.items()
    ]
    frame = pd.DataFrame(rows, columns=["method", "seed", "teacher", "step", "metrics"])
    frame["value"] = frame.pop("metrics").map(lambda metrics: metrics.get(key, math.nan)).astype(float)
    return frame
