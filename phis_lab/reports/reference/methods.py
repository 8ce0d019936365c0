"""Which row of the paper a run repeats."""

from collections.abc import Collection, Mapping, Sequence

from phis_lab.groups import GROUPS
from phis_lab.reports.reference.tables import TABLES
from phis_lab.runs.job import as_mapping

GROUPS_OF_ROW = ("normalizer", "loss", "balancer")
"""The choices that make a row of PHI-S."""

ROWS: dict[tuple[str, ...], str] = {
    ("identity", "mse", "uniform"): "MSE",
    ("identity", "cosine", "uniform"): "Cosine",
    ("identity", "hybrid_mse", "uniform"): "Hyb MSE",
    ("identity", "hybrid_smooth_l1", "uniform"): "Hyb SmL1",
    ("global_standardize", "mse", "uniform"): "Global Stdze",
    ("standardize", "mse", "uniform"): "Standardize",
    ("phis", "mse", "uniform"): "PHI-S",
    ("pca_whiten", "mse", "uniform"): "PCA-W",
    ("zca_whiten", "mse", "uniform"): "ZCA",
    ("hadamard_whiten", "mse", "uniform"): "HCA",
    ("identity", "mse", "adaloss"): "Ada-MSE",
    ("phis", "mse", "adaloss"): "Ada-PHI-S",
}
"""Options of these groups -> row of tables 1, 4 and 12 of PHI-S. A test writes `conf/experiment/phis` from it."""


def paper_row(choices: Mapping[str, str], overrides: Sequence[str]) -> str | None:
    """The paper's name for a run's method; None for controls, and where an option of the method was changed.

    Args:
        choices: option chosen in each config group.
        overrides: the run's overrides, such as `seed=1` or `loss.cosine_weight=0.5`.
    """
    if any(key.partition(".")[0] in GROUPS_OF_ROW and "." in key for key in as_mapping(overrides)):
        return None
    usual = {group: GROUPS[group].usual or "" for group in GROUPS_OF_ROW if GROUPS[group].titles == "unusual"}
    return ROWS.get(tuple((usual | dict(choices)).get(group, "") for group in GROUPS_OF_ROW))


def rank_table(rows: Collection[str], students: Collection[str]) -> str:
    """The table of ranks to lay beside ours.

    Table 4 where all students are `vit_large`; else table 1, or table 12 as soon as a row with AdaLoss is among them.
    """
    if set(students) == {"vit_large"}:
        return "table4"
    return "table1" if set(rows) <= set(TABLES["table1"].rows) else "table12"
