"""The recipes of PHI-S are written from its tables: which row is which choice, and the numbers that it reached.

`UPDATE_GOLDEN=1 make test` writes the files anew.
"""

import os
from pathlib import Path

import pytest
import yaml

from phis_lab.reports.reference import TABLES
from phis_lab.reports.reference.paper_tables import GROUPS_OF_ROW, ROWS

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "experiment" / "phis"
TEXT = """\
# @package _global_
# PHI-S, table {number}, row "{row}" (ViT-B/16). Paper: teacher MSE {errors} ({teachers}),
# average rank {rank:.2f} of {methods}. Cost: 1,280 A100-hours at scale=paper, minutes on two CPU cores at scale=pocket.
# Run:  python run.py experiment=phis/{name} scale=pocket      All twelve:  {all}
defaults:
{choices}
"""


def chosen(file: Path) -> tuple[str, ...]:
    taken = {group: option for item in yaml.safe_load(file.read_text())["defaults"] for group, option in item.items()}
    return tuple(taken[f"override /{group}"] for group in GROUPS_OF_ROW)


def written(name: str, choice: tuple[str, ...]) -> str:
    row, errors = ROWS[choice], TABLES["table3"]
    ranks = next(table for table in (TABLES["table1"], TABLES["table12"]) if ROWS[choice] in table.rows)
    clip, *others = errors.rows[row]
    return TEXT.format(
        number=ranks.number,
        row=row,
        name=name,
        all="python run.py -m 'experiment=glob(phis/*)' scale=pocket",
        errors=" / ".join([f"{clip * 1e4:.4f}e-4", *(f"{error:.4f}" for error in others)]),
        teachers=", ".join(column.name for column in errors.columns),
        rank=ranks.frame().loc[row, "Avg"],
        methods=len(ranks.rows),
        choices="\n".join(
            f"  - override /{group}: {option}" for group, option in zip(GROUPS_OF_ROW, choice, strict=True)
        ),
    )


def test_every_row_has_a_recipe() -> None:
    assert sorted(map(chosen, FOLDER.glob("*.yaml"))) == sorted(ROWS)


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.yaml")))
def test_a_recipe_is_what_the_tables_say(name: str) -> None:
    file = FOLDER / f"{name}.yaml"
    text = written(name, chosen(file))
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert file.read_text() == text
