"""Statistics from files."""

from pathlib import Path

from phis_lab.engine.estimation.base import Estimation, Place, PlacedFeatures, Provenance
from phis_lab.engine.estimation.saved_moments import moments_file, provenance_of, refuse_foreign
from phis_lab.linalg import Moments


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
