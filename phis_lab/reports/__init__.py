"""Tables, ranks, intervals and figures, made from `result.json` files alone."""

from phis_lab.reports.friedman import RankTest, friedman
from phis_lab.reports.intervals import paired_differences, paired_effect
from phis_lab.reports.leaders import leaders
from phis_lab.reports.markup import latex, markdown, terminal
from phis_lab.reports.provenance import caveats
from phis_lab.reports.ranks import average_ranks, default_categories
from phis_lab.reports.render import Report, report
from phis_lab.reports.sections import Section
from phis_lab.reports.studies import Study, group_studies
from phis_lab.reports.tables import measurements, summary

__all__ = [
    "RankTest",
    "Report",
    "Section",
    "Study",
    "average_ranks",
    "caveats",
    "default_categories",
    "friedman",
    "group_studies",
    "latex",
    "leaders",
    "markdown",
    "measurements",
    "paired_differences",
    "paired_effect",
    "report",
    "summary",
    "terminal",
]
