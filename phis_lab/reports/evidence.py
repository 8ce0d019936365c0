"""What the seeds of a study support: who is better, how firmly the ranks stand, whom they tell apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from phis_lab.reports.bootstrap import bootstrap_ranks
from phis_lab.reports.critical_difference import critical_difference_figure
from phis_lab.reports.cube import Cube
from phis_lab.reports.friedman import RankTest, rank_tests
from phis_lab.reports.numbers import p_value
from phis_lab.reports.ranks import Category, default_categories
from phis_lab.reports.sheets import MISSING, Cell, Sheet, effect_sheet, interval_sheet
from phis_lab.reports.style import Look
from phis_lab.reports.tables import Column

_BOOTSTRAP = (
    "Percentile bootstrap over the shared seeds, 95 %. It assumes no distribution and is too narrow for few seeds: "
    "below about ten believe the t interval."
)
_EFFECT = (
    "Hedges' g_z: the difference over its standard deviation between seeds (paired Cohen's d_z, corrected for few "
    "seeds). It says how regular a difference is, not whether it matters."
)


@dataclass(frozen=True)
class Evidence:
    """Statistics over the seeds of comparable runs; with one seed there are none.

    Args:
        numbers: as `measurements` gives them, of metrics that have a better direction.
        paired: as `paired_differences` gives them; empty without a baseline.
        baseline: what `paired` compares with.
        headline: the metrics of the main table.
        meaning: unit and direction of every metric.
        teachers: names of the teachers.
    """

    numbers: pd.DataFrame
    paired: pd.DataFrame
    baseline: str | None
    headline: Sequence[Column]
    meaning: Mapping[str, Column]
    teachers: Sequence[str]

    @cached_property
    def cube(self) -> Cube:
        """The seeds and metrics that the methods share."""
        return Cube.of(self.numbers)

    @cached_property
    def categories(self) -> dict[str, Category]:
        """What the ranks average over."""
        return default_categories(self.cube.metrics, self.teachers)

    @cached_property
    def tests(self) -> dict[str, RankTest]:
        """Friedman's test over metrics and over seeds."""
        return rank_tests(self.cube, self.categories, self._downwards) if self.categories else {}

    def sheets(self) -> list[Sheet]:
        """One row per method: metrics won and lost against the baseline, and its average rank with an interval."""
        if len(self.cube.seeds) < 2 or len(self.cube.methods) < 2 or not self.categories:
            return []
        ranks = bootstrap_ranks(self.cube, self.categories, self._downwards)
        names = ["method", "avg rank ↓", "rank interval", "best (%)"]
        rows = [
            [
                Cell(str(method)),
                Cell(f"{row['rank']:.2f}", strong=row["rank"] == ranks["rank"].min()),
                Cell(f"{row['low']:.2f} to {row['high']:.2f}"),
                Cell(f"{100 * row['best']:.0f}"),
            ]
            for method, row in ranks.iterrows()
        ]
        if not self.paired.empty:
            names[1:1] = [f"better than {self.baseline}", "undecided", "worse"]
            for row in rows:
                row[1:1] = self._verdicts(row[0].text)
        return [Sheet("What the seeds support", self._caption(), tuple(names), tuple(map(tuple, rows)))]

    def details(self) -> list[Sheet]:
        """Bootstrap intervals and effect sizes of the differences, where there are several seeds."""
        if self.paired.empty or self.paired["seeds"].max() < 2:
            return []
        title = f"Difference to {self.baseline}"
        return [
            interval_sheet(f"{title}: bootstrap intervals", _BOOTSTRAP, self.paired, self.headline),
            effect_sheet(f"{title}: effect size", _EFFECT, self.paired, self.headline),
        ]

    def figures(self, looks: Mapping[str, Look]) -> dict[str, Figure]:
        """The critical-difference diagram, for three methods or more."""
        return {"critical_difference": critical_difference_figure(self.tests, looks)} if self.tests else {}

    @property
    def _downwards(self) -> list[str]:
        return [name for name in self.cube.metrics if self.meaning[name].higher_is_better is False]

    @cached_property
    def _shown(self) -> pd.DataFrame:
        names = [column.metric for column in self.headline]
        return self.paired if self.paired.empty else self.paired[self.paired["metric"].isin(names)]

    def _verdicts(self, method: str) -> list[Cell]:
        rows = self._shown[self._shown["method"] == method]
        if rows.empty:
            return [Cell(MISSING)] * 3
        upwards = rows["metric"].map(lambda name: self.meaning[name].higher_is_better).astype(bool)
        above, below = rows["low"] > 0, rows["high"] < 0
        better, worse = above.where(upwards, below).sum(), below.where(upwards, above).sum()
        return [Cell(str(count)) for count in (better, len(rows) - better - worse, worse)]

    def _caption(self) -> str:
        parts = []
        if not self._shown.empty:
            parts.append(
                f"Better and worse: of {len(self._shown)} paired differences those whose 95 % t interval excludes "
                "zero, each alone; one in twenty does by chance."
            )
        parts.append(f"Rank interval (95 %) and best: bootstrap over {len(self.cube.seeds)} seeds.")
        if self.tests:
            found = [f"{p_value(t.p_value)} over {name} (W = {t.agreement:.2f})" for name, t in self.tests.items()]
            parts.append(
                f"Friedman's test that no method ranks better than another, with Kendall's W: {', '.join(found)}."
            )
        single = [name for name in self.numbers["method"].unique() if name not in self.cube.methods]
        if single:
            parts.append(f"Left out, having one seed: {', '.join(single)}.")
        return " ".join(parts)
