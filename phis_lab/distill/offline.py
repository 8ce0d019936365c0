"""Statistics from files."""

from collections.abc import Mapping
from pathlib import Path

from phis_lab.distill.estimation import Estimation, GridFeatures, refuse_non_finite
from phis_lab.distill.provenance import moments_file, provenance_of, refuse_foreign
from phis_lab.linalg import Moments
from phis_lab.teachers import Grid


class OfflineEstimation(Estimation):
    """Moments from files that an earlier run saved; normalisers are fitted once, before the first step.

    Args:
        moments: folder written through `estimation.save`.
    """

    def __init__(self, moments: str) -> None:
        self.folder = Path(moments)
        if not self.folder.is_dir():
            raise ValueError(f"moments must be a folder of saved moments; there is none at {self.folder}")
        self.moments = {}

    def start(self, provenance: Mapping[str, Mapping[str, str]], grids: set[Grid]) -> None:  # noqa: D102
        for grid in sorted(grids):
            for teacher, facts in provenance.items():
                moments = Moments.load(moments_file(self.folder, teacher, grid))
                refuse_foreign(moments.provenance, provenance_of(facts, grid), teacher)
                self.moments.setdefault(grid, {})[teacher] = moments

    def observe(self, features: GridFeatures, step: int) -> bool:  # noqa: D102
        for by_teacher in features.values():
            refuse_non_finite(by_teacher, step)
        return step == 0
