"""What the seeds of a study support: who is better, how firmly the ranks stand, whom they tell apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from phis_lab.reports.friedman import RankTest, critical_difference_figure, rank_test
from phis_lab.reports.intervals import BOOTSTRAP_SEEDS, EFFECT_SEEDS, bootstrap_ranks
from phis_lab.reports.leaders import leaders
from phis_lab.reports.ranks import Category, Cube, default_categories, stacked_ranks
from phis_lab.reports.sheets import MISSING, Cell, Sheet, effect_sheet, interval_sheet, seeds_of
from phis_lab.reports.style import Look
from phis_lab.reports.tables import Column, downwards
from phis_lab.spoken import p_value

_BOOTSTRAP = (
    f"Percentile bootstrap over the shared seeds, 95 %, where there are {BOOTSTRAP_SEEDS} or more. It assumes no "
    "distribution and is too narrow for few seeds: below about ten believe the t interval."
)
UNTESTED = (
    "There is no Friedman test and no diagram of critical differences: they need three methods or more, and as blocks "
    "two seeds or more, for metrics of the same runs are not independent."
)
_EFFECT = (
    "Hedges' g_z: the difference over its standard deviation between seeds (paired Cohen's d_z, corrected for few "
    "seeds). It says how regular a difference is, not whether it matters."
)


@dataclass(frozen=True)
class Evidence:
    """Statistics over the seeds of comparable runs; with one seed there are none.

    Args:
        numbers: as `measurements` gives them, of metrics that are judged.
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
    def test(self) -> RankTest | None:
        """Friedman's test over seeds; None where there are too few methods or seeds."""
        return rank_test(self.cube, self.categories, self._downwards) if self.categories else None

    @cached_property
    def first(self) -> dict[str, frozenset[str]]:
        """Per category, and for `Avg`: the methods that lead by their ranks, as `leaders` of one rank for each seed.

        Empty under five seeds: ranks are so coarse that a few seeds often give the very same ones by chance.
        """
        if not self.categories or len(self.cube.seeds) < BOOTSTRAP_SEEDS:
            return {}
        ranks = stacked_ranks(self.cube.values, self.cube.metrics, self.categories, lower_is_better=self._downwards)
        frames = {name: pd.DataFrame(rows, columns=self.cube.methods) for name, rows in ranks.items()}
        return {
            name: leaders({m: frame[m] for m in self.cube.methods}, higher_is_better=False)
            for name, frame in frames.items()
        }

    def sheets(self) -> list[Sheet]:
        """One row per method: metrics won and lost against the baseline, and its average rank, with an interval.

        The interval and how often a method is best need five seeds.
        """
        if len(self.cube.seeds) < 2 or len(self.cube.methods) < 2 or not self.categories:
            return []
        ranks = self._ranks()
        names = ["method", *ranks.columns]
        rows = [
            [Cell(str(method)), Cell(texts.iloc[0], strong=method in self.first.get("Avg", ())), *map(Cell, texts[1:])]
            for method, texts in ranks.iterrows()
        ]
        if not self.paired.empty:
            names[1:1] = [f"better than {self.baseline}", "undecided", "worse"]
            for row in rows:
                row[1:1] = self._verdicts(row[0].text)
        shared = self.numbers[self.numbers["method"].isin(self.cube.methods)]
        seeds = seeds_of(shared[shared["seed"].isin(self.cube.seeds)])
        return [Sheet("What the seeds support", self._caption(), tuple(names), tuple(map(tuple, rows)), seeds)]

    def details(self) -> list[Sheet]:
        """Bootstrap intervals and effect sizes of the differences, where there are seeds enough for them."""
        most = 0 if self.paired.empty else self.paired["seeds"].max()
        title = f"Difference to {self.baseline}"
        compared = [column for column in self.headline if column.judged]
        sheets = []
        if most >= BOOTSTRAP_SEEDS:
            sheets.append(interval_sheet(f"{title}: bootstrap intervals", _BOOTSTRAP, self.paired, compared))
        if most >= EFFECT_SEEDS:
            sheets.append(effect_sheet(f"{title}: effect size", _EFFECT, self.paired, compared))
        return sheets

    def figures(self, looks: Mapping[str, Look]) -> dict[str, Figure]:
        """The critical-difference diagram, where there is a test."""
        if self.test is None:
            return {}
        return {"critical_difference": critical_difference_figure(self.test, self._blocks, looks)}

    @property
    def _blocks(self) -> str:
        return f"{len(self.cube.seeds)} seeds"

    def _ranks(self) -> pd.DataFrame:
        """The texts of the average ranks, and of their bootstrap where there are seeds enough."""
        found = bootstrap_ranks(self.cube, self.categories, self._downwards)
        texts = pd.DataFrame({"avg rank ↓": found["rank"].map("{:.2f}".format)})
        if len(self.cube.seeds) >= BOOTSTRAP_SEEDS:
            texts["rank interval"] = found["low"].map("{:.2f} to ".format) + found["high"].map("{:.2f}".format)
            texts["best (%)"] = (100 * found["best"]).map("{:.0f}".format)
        return texts

    @property
    def _downwards(self) -> list[str]:
        return downwards(self.cube.metrics, self.meaning)

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
        if len(self.cube.seeds) >= BOOTSTRAP_SEEDS:
            parts.append(
                f"Rank interval (95 %) and best: bootstrap over {self._blocks}. Bold: the best rank, and those "
                "that the paired t interval of the ranks by seed does not tell from it."
            )
        else:
            parts.append(
                f"{self._blocks} are too few for a bootstrap, whose intervals would not cover: ranks have no interval, "
                "and none is bold."
            )
        if self.test is not None:
            parts.append(
                f"Friedman's test that no method ranks better than another, its blocks being the seeds: "
                f"{p_value(self.test.p_value)} over {self._blocks} (Kendall's W = {self.test.agreement:.2f})."
            )
        else:
            parts.append(UNTESTED)
        single = [name for name in self.numbers["method"].unique() if name not in self.cube.methods]
        if single:
            parts.append(f"Left out, having one seed: {', '.join(single)}.")
        return " ".join(parts)
