"""One Friedman test over studies that differ in their data: its blocks are seeds x data sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from phis_lab.reports.friedman import RankTest, critical_difference_figure, friedman, rank_blocks
from phis_lab.reports.ranks import Cube, default_categories
from phis_lab.reports.sections import Section
from phis_lab.reports.sheets import Cell, Sheet
from phis_lab.reports.style import looks
from phis_lab.reports.tables import downwards
from phis_lab.spoken import p_value


@dataclass(frozen=True)
class Across:
    """The same methods on several data sets, ranked and tested together.

    Args:
        name: of the study.
        ranks: for every data set, seeds by methods: each method's average rank over the categories of that data set.
        test: whose blocks are the rows of all of them.
        left_out: methods that some data set lacks.
    """

    name: str
    ranks: Mapping[str, pd.DataFrame]
    test: RankTest
    left_out: tuple[str, ...]

    @property
    def title(self) -> str:
        """Names the study and its data sets."""
        return f"{self.name}: over {len(self.ranks)} data sets ({', '.join(self.ranks)})"

    @cached_property
    def sheet(self) -> Sheet:
        """A method's average rank on each data set and its mean place over all blocks, with the test in the caption."""
        order = self.test.ranks.sort_values(kind="stable")
        rows = tuple(
            (
                Cell(str(method)),
                *(Cell(f"{of_data[method].mean():.2f}") for of_data in self.ranks.values()),
                Cell(f"{place:.2f}"),
            )
            for method, place in order.items()
        )
        names = ("method", *(f"{name} ↓".replace("_", " ") for name in self.ranks), "mean place ↓")
        seeds = ", ".join(f"{name} {len(of_data)}" for name, of_data in self.ranks.items())
        return Sheet("Over all data sets", self._caption(), names, rows, f"Seeds: {seeds}.")

    def figure(self) -> Figure:
        """The critical-difference diagram over all blocks."""
        return critical_difference_figure(self.test, self._blocks, looks([str(name) for name in self.test.ranks.index]))

    @property
    def _blocks(self) -> str:
        return f"{self.test.blocks} blocks (seed and data set)"

    def _caption(self) -> str:
        parts = [
            "Average rank of a method over the categories of each data set, among the methods that all of them "
            f"have, and the mean of its places over {self._blocks}. Friedman's test that no method ranks better than "
            f"another: {p_value(self.test.p_value)} (Kendall's W = {self.test.agreement:.2f}). Mean places that differ "
            f"by less than {self.test.critical_difference:.2f} are not told apart (Nemenyi, 5 % over all pairs). It "
            "takes seeds on one data set for as independent as data sets are, so it speaks of these data sets alone."
        ]
        if self.left_out:
            parts.append(f"Left out, being run on some of them only: {', '.join(self.left_out)}.")
        return " ".join(parts)


def across_data(sections: Sequence[Section]) -> list[Across]:
    """The studies of one name and the same teachers that ran three methods or more on several data sets."""
    alike: dict[tuple[object, ...], list[Section]] = {}
    for section in sections:
        first = section.study.records[0]
        alike.setdefault((first.name, tuple(sorted(first.teachers))), []).append(section)
    made = [_across(group) for group in alike.values() if len(group) > 1]
    return [across for across in made if across is not None]


def _across(sections: Sequence[Section]) -> Across | None:
    by_data: dict[str, Section] = {}
    for section in sections:
        record = section.study.records[0]
        if by_data.setdefault(record.data.name, section) is not section:
            return None  # one data set with two budgets or fingerprints: which of them is meant is not ours to say
    methods = [m for m in sections[0].methods if all(m in section.methods for section in sections)]
    if len(methods) < 3:
        return None
    ranks = {name: _ranks(section, methods) for name, section in by_data.items()}
    if any(of_data.empty for of_data in ranks.values()):
        return None
    every = dict.fromkeys(method for section in sections for method in section.methods)
    left_out = tuple(method for method in every if method not in methods)
    blocks = pd.concat(ranks.values(), ignore_index=True)
    return Across(sections[0].study.records[0].name, ranks, friedman(blocks), left_out)


def _ranks(section: Section, methods: Sequence[str]) -> pd.DataFrame:
    cube = Cube.of(section.judged[section.judged["method"].isin(methods)], fewest_seeds=1)
    categories = default_categories(cube.metrics, section.study.teachers)
    if not categories or len(cube.methods) < len(methods):
        return pd.DataFrame()
    return rank_blocks(cube, categories, downwards(cube.metrics, section.meaning))[list(methods)]
