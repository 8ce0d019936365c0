"""The paper's average ranks, from its raw tables by its own rule."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from phis_lab.reports.ranks import Category, average_ranks
from phis_lab.reports.reference.paper_tables import TABLES


class _Recipe(NamedTuple):
    """The raw tables behind a table of ranks, and how its LLaVA column weighs the six benchmarks."""

    matching: str
    benchmarks: str
    llava: str
    llava_category: Category


_GROUPED: Category = (("GQA val", "GQA testdev"), ("TextVQA tok", "TextVQA notok"), "POPE", "VQAv2")
_PLAIN: Category = ("GQA val", "GQA testdev", "TextVQA tok", "TextVQA notok", "POPE", "VQAv2")
_RECIPES = {
    "table1": _Recipe("table3", "table13", "table14", _GROUPED),
    "table4": _Recipe("table15", "table16", "table17", _GROUPED),
    "table12": _Recipe("table3", "table13", "table14", _PLAIN),
}


def recompute(name: str) -> dict[str, dict[str, float]]:
    """A table of ranks from the raw tables.

    Methods are ranked per metric among the rows of that table, ties take the lowest rank, ranks are averaged
    in each category and categories in `Avg`. In LLaVA, GQA's and TextVQA's two numbers count as one each;
    table 12 does not follow its caption there, and counts six.

    Args:
        name: `table1`, `table4` or `table12`.

    Returns:
        method -> category -> rank, with the published columns in the published order.

    Raises:
        ValueError: `name` is not a table of ranks.
    """
    raw, categories, lower_is_better = raw_table(name)
    ranks = average_ranks(raw, categories, lower_is_better=lower_is_better)
    ranks["Avg no COCO"] = ranks.drop(columns=["SAM COCO", "Avg"]).mean(axis=1)
    ranks["Avg no MSE/COCO"] = ranks[["Cls", "Seg", "LLaVA", "Probe3D"]].mean(axis=1)
    published = [column.name for column in TABLES[name].columns]
    return {
        str(method): dict(zip(published, row, strict=True))
        for method, row in zip(ranks.index, ranks[published].to_numpy().tolist(), strict=True)
    }


def raw_table(name: str) -> tuple[pd.DataFrame, dict[str, Category], list[str]]:
    """What a table of ranks was made of: its methods by metrics, the categories, and the metrics to minimise.

    Where two methods print the same number and the paper ranks them apart, the worse is one float64 step worse.

    Raises:
        ValueError: `name` is not a table of ranks.
    """
    if name not in _RECIPES:
        raise ValueError(f"{name!r} is not a table of ranks: there are {list(_RECIPES)}")
    recipe = _RECIPES[name]
    tables = [TABLES[part] for part in (recipe.matching, recipe.benchmarks, recipe.llava)]
    raw = pd.concat([table.frame() for table in tables], axis=1).loc[list(TABLES[name].rows)]
    lower_is_better = [column for table in tables for column in table.lower_is_better]
    for column, _, worse in (order for table in tables for order in table.unprinted_order):
        direction = math.inf if column in lower_is_better else -math.inf
        raw.loc[[worse], column] = np.nextafter(raw.loc[[worse], column].to_numpy(dtype=float), direction)
    categories: dict[str, Category] = {
        "MSE": [column.name for column in tables[0].columns],
        "Cls": ["ZeroShot", "kNN"],
        "Seg": ["ADE20k", "VOC"],
        "SAM COCO": ["SAM COCO"],
        "LLaVA": recipe.llava_category,
        "Probe3D": ["Depth", "Normals", "MultiView", "SPair"],
    }
    return raw, categories, lower_is_better
