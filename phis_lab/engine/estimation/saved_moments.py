"""Saved moments: where they lie, what they are of, what they must not be used for, and statistics from them."""

import logging
from collections.abc import Mapping
from pathlib import Path

from phis_lab.engine.estimation.base import Estimation, Place, PlacedFeatures, Provenance
from phis_lab.features import Grid
from phis_lab.linalg import Moments

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
    keys = dict.fromkeys([*wanted, "compiled"])  # which is said of teachers that are
    differing = [key for key in keys if key != "data" and found.get(key) != wanted.get(key)]
    wrong = [f"{key} is {found.get(key)!r}, not {wanted.get(key)!r}" for key in differing]
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


class OfflineEstimation(Estimation):
    """Moments from files that an earlier run saved; normalisers are fitted once, before the first step.

    Args:
        moments: folder written by `phis-lab stats` or through `estimation.save`.
        other_images: accept moments that were gathered on other images than the run's, such as a larger set of the
            same kind.
    """

    def __init__(self, moments: str, other_images: bool = False) -> None:
        self.folder = Path(moments)
        if not self.folder.is_dir():
            raise ValueError(f"moments must be a folder of saved moments; there is none at {self.folder}")
        self.other_images = other_images
        self.moments = {}

    def of_variances(self) -> Estimation:  # noqa: D102
        return self

    def check_files(self, provenance: Provenance, places: set[Place]) -> None:  # noqa: D102
        self.start(provenance, places, steps=0)

    def start(self, provenance: Provenance, places: set[Place], steps: int) -> None:  # noqa: D102
        self.moments = {}
        for partition, grid in sorted(places):
            for teacher, facts in provenance[partition].items():
                moments = Moments.load(moments_file(self.folder, facts, grid))
                refuse_foreign(moments.provenance, provenance_of(facts, grid), teacher, self.other_images)
                self.moments.setdefault((partition, grid), {})[teacher] = moments

    def observe(self, features: PlacedFeatures, step: int) -> bool:  # noqa: D102
        del features  # nothing is gathered
        return step == 0
