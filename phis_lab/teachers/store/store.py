"""Teacher features of fixed views on disk: written once, read by memory map in whatever order a run asks for them."""

import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from phis_lab.features import Features, Grid
from phis_lab.processes import rank
from phis_lab.shapes import Int64
from phis_lab.teachers.pool import TeacherPool
from phis_lab.teachers.store.complete import complete
from phis_lab.teachers.store.encoding import StoreDtype
from phis_lab.teachers.store.plan import FixedImages
from phis_lab.teachers.store.read import TableReader
from phis_lab.teachers.store.table import Table, TableReport, describe

log = logging.getLogger(__name__)


class FeatureStore:
    """Features of some images on the students' grids.

    Spatial features are kept on a student's grid, as they enter the loss, and in the teacher's own where that has
    fewer tokens. What is read are always the stored values, also in the run that writes them, so a run does not
    depend on whether the store was filled before.

    Args:
        root: folder of the store; many runs, teachers and data sets share it.
        dtype: how values are kept.
        pool: the frozen teachers.
        grids: token grids of the students.
        images: the views that a run visits.
    """

    def __init__(
        self, root: Path, dtype: StoreDtype, pool: TeacherPool, grids: Iterable[Grid], images: FixedImages
    ) -> None:
        self.root, self.dtype, self.pool, self.images = root, dtype, pool, images
        self.grids = sorted(set(grids))
        self._readers: dict[tuple[str, Grid | None], TableReader] = {}
        self._stored: dict[Grid, dict[str, Grid | None]] = {}

    def prepare(self, device: torch.device) -> None:
        """Verify the shards that are needed and fill what is missing; once, in all processes together.

        Raises:
            ValueError: the disk is too small, or a teacher's features cannot be stored.
            SystemExit: the user pressed Ctrl-C.
        """
        if self._readers:
            return
        tables = self._tables(device)
        complete(self.root, list(tables.values()), self.images, self.pool, device)
        self._readers = {key: TableReader(table) for key, table in tables.items()}
        if rank() == 0:
            errors = "; ".join(f"{report.teacher} {report.errors()}" for report in self.reports())
            log.info("Squared error of %s features over their variance: %s.", self.dtype, errors)

    def has(self, keys: Int64[Tensor, "batch 2"]) -> bool:
        """Whether these (index, view) keys can be read: all of them, once the store is prepared."""
        return bool(self._readers)

    def read(self, keys: Int64[Tensor, "batch 2"], device: torch.device) -> dict[Grid, dict[str, Features]]:
        """Features per student grid and teacher, decoded to float32.

        Args:
            keys: (index, view) of each image.
            device: where they are wanted.
        """
        on_host = keys.cpu()
        stored = {key: reader.read(on_host, device) for key, reader in self._readers.items()}
        return {
            grid: {name: self.pool.on_grid(stored[name, own], grid) for name, own in by_teacher.items()}
            for grid, by_teacher in self._stored.items()
        }

    def reports(self) -> list[TableReport]:
        """What each table holds and what its encoding lost."""
        return [describe(reader.table, self.images.views) for reader in self._readers.values()]

    def _tables(self, device: torch.device) -> dict[tuple[str, Grid | None], Table]:
        """The tables that the students' grids need, from the shapes of one image's features."""
        size = self.images.image_size
        probe = self.pool(torch.zeros(1, 3, size, size, device=device))
        identity = self.images.identity() | {"split": self.images.split}
        tables: dict[tuple[str, Grid | None], Table] = {}
        for name, facts in self.pool.describe(device.type).items():
            known = {key: value for key, value in facts.items() if key != "source"}
            for grid in self.grids:
                kept = _kept_grid(probe[name], grid)
                self._stored.setdefault(grid, {})[name] = kept
                if (name, kept) not in tables:
                    shapes = _shapes(probe[name], kept)
                    tables[name, kept] = Table(
                        self.root, name, known, identity, shapes, kept, self.dtype, self.images.count
                    )
        return tables


def _kept_grid(features: Features, grid: Grid) -> Grid | None:
    """The student's grid; None, the teacher's own, where that is the same or has fewer tokens."""
    if features.spatial is None:
        return None
    height, width = features.spatial.shape[1:3]
    return grid if height * width > grid[0] * grid[1] else None


def _shapes(features: Features, kept: Grid | None) -> dict[str, tuple[int, ...]]:
    shapes = {kind: tuple(tensor.shape[1:]) for kind, tensor in features._asdict().items() if tensor is not None}
    if kept is not None:
        shapes["spatial"] = (*kept, shapes["spatial"][-1])
    return shapes
