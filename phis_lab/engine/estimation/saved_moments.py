"""Saved moments: where they lie, what they are of, and what they must not be used for."""

import logging
from collections.abc import Mapping
from pathlib import Path

from phis_lab.features import Grid

log = logging.getLogger(__name__)


def moments_file(folder: Path, facts: Mapping[str, str], grid: Grid) -> Path:
    """Where the moments of a teacher, at the image size that `facts` tells, on a grid are kept."""
    return folder / f"{facts['teacher']}-{facts['image_size']}px-{grid[0]}x{grid[1]}.safetensors"


def provenance_of(facts: Mapping[str, str], grid: Grid) -> dict[str, str]:
    """What identifies the statistics of a teacher's spatial features on a grid."""
    return {**facts, "grid": f"{grid[0]}x{grid[1]}"}


def refuse_foreign(
    found: Mapping[str, str], wanted: Mapping[str, str], teacher: str, other_images: bool = False
) -> None:
    """Raise ValueError unless saved statistics are of the very features that this run will see.

    Args:
        found: what identifies the features that the statistics are of.
        wanted: the same of the features that the run will see.
        teacher: its name, for the message.
        other_images: accept statistics of the same teacher over other images.
    """
    same_images = found.get("data") == wanted.get("data")
    differing = [key for key, value in wanted.items() if key != "data" and found.get(key) != value]
    wrong = [f"{key} is {found.get(key)!r}, not {wanted[key]!r}" for key in differing]
    if wrong:
        raise ValueError(f"the saved moments of teacher '{teacher}' are of other features: {'; '.join(wrong)}")
    if not same_images and not other_images:
        raise ValueError(
            f"the saved moments of teacher '{teacher}' were gathered on other images than those of this run; gather "
            "them anew with `phis-lab stats` and the run's data options, or set estimation.other_images=true"
        )
    if not same_images:
        log.warning(
            "The saved moments of %s were gathered on other images, which estimation.other_images allows.", teacher
        )
