"""What the recipes compute stays what it is, to the last bit on the machine that wrote it down.

`python -m tests.golden` writes the numbers anew.
"""

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from recipes import IN_TWO_PROCESSES, RECIPES, SMALL

HERE = Path(__file__).parent
CONF = HERE.parents[1] / "conf"
NAMES = (*RECIPES, *IN_TWO_PROCESSES)
BEFORE_LEARNING, AFTERWARDS, ANSWERS = 0.05, 0.5, 0.3
"""What another processor or version may differ by: a part of a number that no step of a student has touched yet, a part
of all others, whose rounding an adaptive optimiser amplifies, and a score over 20 images, each right or wrong.

Without vector instructions torch differed from itself by at most 0.02, 0.39 and 0.05.
"""
NOTHING, LITTLE = 1e-6, 0.05
"""Numbers as small as this may differ by so much in any case: before learning, and afterwards."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all recipes measure now, trained in a process of their own with one thread."""
    folder = tmp_path_factory.mktemp("golden")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHIS_LAB")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden", str(folder)],
        cwd=HERE.parents[1],
        env=environment | {"PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_measures_what_is_written_down(name: str, measured: Path) -> None:
    written, now = (json.loads((folder / f"{name}.json").read_text()) for folder in (HERE / "measured", measured))
    if written.pop("machine") == now.pop("machine"):
        assert now == written
        return
    ours, theirs = dict(numbers(now)), dict(numbers(written))
    assert ours.keys() == theirs.keys()
    first = {f"/logged/{name}/{min(steps, key=int)}" for name, steps in written["logged"].items() if "train/" in name}
    far = {key: (ours[key], theirs[key]) for key in ours if not is_close(key, ours[key], theirs[key], key in first)}
    assert not far


def numbers(node: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number with its name; the status is the same text in both, or is told as one that differs."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from numbers(value, f"{path}/{key}")
    elif path == "/status":
        yield f"{path}={node}", 0.0
    else:
        yield path, float.fromhex(node)


def is_close(key: str, ours: float, theirs: float, is_first: bool) -> bool:
    if "knn" in key or "probe" in key:
        return abs(ours - theirs) <= ANSWERS
    relative, least = (BEFORE_LEARNING, NOTHING) if is_first else (AFTERWARDS, LITTLE)
    return math.isclose(ours, theirs, rel_tol=relative, abs_tol=least)


@pytest.mark.parametrize("group", ["normalizer", "loss", "head", "balancer", "estimation"])
def test_every_option_is_in_some_recipe(group: str) -> None:
    defaults = yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    chosen = {entry[group] for entry in defaults if isinstance(entry, dict) and group in entry}
    for recipe in (SMALL, *RECIPES.values(), *IN_TWO_PROCESSES.values()):
        chosen |= {found[1] for text in recipe if (found := re.fullmatch(rf"{group}=(\w+)", text))}
    assert {file.stem for file in (CONF / group).glob("*.yaml")} <= chosen
