"""Saved moments: where they lie, what they are of, and what they must not be used for."""

import logging
from collections.abc import Mapping
from pathlib import Path

from phis_lab.teachers import Grid

log = logging.getLogger(__name__)


def moments_file(folder: Path, facts: Mapping[str, str], grid: Grid) -> Path:
    """Where the moments of a teacher, at the image size that `facts` tells, on a grid are kept."""
    return folder / f"{facts['teacher']}-{facts['image_size']}px-{grid[0]}x{grid[1]}.safetensors"


def provenance_of(facts: Mapping[str, str], grid: Grid) -> dict[str, str]:
    """What identifies the statistics of a teacher's spatial features on a grid."""
    return {**facts, "grid": f"{grid[0]}x{grid[1]}"}


def refuse_foreign(found: Mapping[str, str], wanted: Mapping[str, str], teacher: str) -> None:
    """Raise ValueError unless saved statistics are of the very features that this run will see."""
    if found.get("data") != wanted.get("data"):
        log.warning("The saved moments of %s were gathered on other images.", teacher)
    differing = [key for key, value in wanted.items() if key != "data" and found.get(key) != value]
    wrong = [f"{key} is {found.get(key)!r}, not {wanted[key]!r}" for key in differing]
    if wrong:
        raise ValueError(f"the saved moments of teacher '{teacher}' are of other features: {'; '.join(wrong)}")
