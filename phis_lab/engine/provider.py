"""Teacher features on the students' grids, computed once per batch and remembered for fixed views."""

import logging
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from phis_lab.features import Features, Grid
from phis_lab.shapes import Float, Int64
from phis_lab.teachers import TeacherPool
from phis_lab.teachers.store import FeatureStore, MemoryStore, bytes_per_image, gigabytes

Match = Literal["student", "larger"]
log = logging.getLogger(__name__)


class FeatureProvider:
    """One teacher pass for all arms.

    Args:
        pool: the frozen teachers.
        grids: token grids of the students; spatial features are resized to each.
        images: number of training images.
        views: fixed augmented views per image; None when every epoch draws a fresh one, and nothing is remembered.
        memory_gb: features of fixed views are kept in memory when all of them fit into this many GB.
        store: features of these images on disk, which then are all that is ever given out.
        match: "student" resamples spatial features to the student's grid (PHI-S, section 3); "larger" to the finer
            of both grids, and the arms resample their predictions (AM-RADIO, section 3.4).
    """

    def __init__(
        self,
        pool: TeacherPool,
        grids: Iterable[Grid],
        images: int,
        views: int | None,
        memory_gb: float,
        store: FeatureStore | None = None,
        match: Match = "student",
    ) -> None:
        self.match: Match = match
        self.pool, self.grids, self.images, self.views = pool, sorted(set(grids)), images, views
        self.memory_gb, self.store = memory_gb, store
        self._memory: MemoryStore | None = None
        self._remembers = views is not None and memory_gb > 0 and store is None

    def prepare(self, device: torch.device) -> None:
        """Verify and fill the feature store, if there is one; in all processes together, and once.

        The first batch does it too, within that step's time.

        Raises:
            ValueError: the disk is too small, or a teacher's features cannot be stored.
        """
        if self.store is not None:
            self.store.prepare(device)

    def __call__(
        self, images: Float[Tensor, "b 3 h w"], keys: Int64[Tensor, "b 2"] | None = None
    ) -> dict[Grid, dict[str, Features]]:
        """Features of a batch per grid and teacher, in float32.

        Args:
            images: pixels in [0, 1], the very ones that the students see.
            keys: image index and view of each; None for images outside the training set.
        """
        if keys is not None:
            self.prepare(images.device)
            kept = self.store or self._memory
            if kept is not None and kept.has(keys):
                return kept.read(keys, images.device)
        native = self.pool(images)
        matched = {grid: {name: self._matched(f, grid) for name, f in native.items()} for grid in self.grids}
        if keys is not None and self._remembers:
            self._remember(keys, matched)
        return matched

    def _matched(self, features: Features, grid: Grid) -> Features:
        if self.match == "larger" and features.spatial is not None:
            rows, columns = features.spatial.shape[1:3]
            grid = max(rows, grid[0]), max(columns, grid[1])
        features = self.pool.on_grid(features, grid)
        summary = features.summary
        return features._replace(summary=None if summary is None else summary.float().contiguous())

    def forget(self) -> None:
        """Free what is remembered."""
        self._memory = None

    def _remember(self, keys: Int64[Tensor, "b 2"], matched: dict[Grid, dict[str, Features]]) -> None:
        if self._memory is None:
            assert self.views is not None
            need = self.images * self.views * bytes_per_image(matched)
            self._remembers = need <= self.memory_gb * 1e9
            verdict = "kept in memory" if self._remembers else f"not kept: more than memory_gb={self.memory_gb:g}"
            log.info("Teacher features of %d views take %s: %s.", self.images * self.views, gigabytes(need), verdict)
            if not self._remembers:
                return
            self._memory = MemoryStore(self.images, self.views, matched)
        self._memory.write(keys, matched)
