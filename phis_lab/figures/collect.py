"""What figures 1, 2 and 9 are drawn from: teacher features, and errors of trained arms, on test images."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from phis_lab.data import Batch
from phis_lab.engine import FeatureProvider, Group, Run
from phis_lab.features import Features, GridFeatures
from phis_lab.figures.activations import Activations
from phis_lab.linalg import Moments

SAMPLE_TOKENS = 2000


class TestFeatures:
    """Test images with their teacher features, as often as wanted; those that fit into memory are computed once.

    Args:
        group: gives images, teachers, grids, device and memory.
        images: at most so many.
    """

    __test__ = False  # or pytest would collect it

    def __init__(self, group: Group, images: int) -> None:
        self.group, self.images = group, min(images, len(group.data.source.test))
        self.device = torch.device(group.options.device)
        self._partition = group.stages[-1].main
        self.scale = self._partition.plan.scale
        self.grids = sorted({run.arm.grid_at(self.scale) for run in group.runs})
        pool = self._partition.train.pool.to(self.device)
        self._provider = FeatureProvider(pool, self.grids, self.images, 1, group.options.memory_gb)

    def __iter__(self) -> Iterator[tuple[Tensor, GridFeatures]]:
        batch: Batch
        for batch in self._partition.loader("test", self.images, False).batches:
            on_device = batch.images.to(self.device)
            yield on_device, self._provider(on_device, batch.keys)


class TeacherSurvey:
    """Moments of every teacher's spatial features, and a random sample of tokens, on one grid.

    Args:
        features: of the test images.
        tokens: size of the sample.
    """

    def __init__(self, features: TestFeatures, tokens: int = SAMPLE_TOKENS) -> None:
        per_image = -(-tokens // features.images)
        drawn = torch.Generator().manual_seed(0)
        self.moments: dict[str, Moments] = {}
        parts: dict[str, list[Tensor]] = {}
        for _, by_grid in features:
            for teacher, spatial in _spatial(by_grid[features.grids[0]]):
                self.moments.setdefault(teacher, Moments(spatial.shape[-1])).update(spatial)
                flat = spatial.flatten(1, 2)
                chosen = torch.randint(flat.shape[1], (per_image,), generator=drawn)
                parts.setdefault(teacher, []).append(flat[:, chosen].flatten(0, 1).cpu())
        self.samples = {teacher: torch.cat(pieces)[:tokens] for teacher, pieces in parts.items()}


def count_activations(features: TestFeatures, moments: Mapping[str, Moments]) -> dict[str, Activations]:
    """Histograms of every teacher, in a second pass, whose bounds the first one's moments set."""
    counted = {teacher: Activations(of_teacher) for teacher, of_teacher in moments.items()}
    for _, by_grid in features:
        for teacher, spatial in _spatial(by_grid[features.grids[0]]):
            counted[teacher].update(spatial)
    return counted


@torch.no_grad()
def channel_losses(features: TestFeatures, runs: Sequence[Run]) -> dict[str, dict[str, Tensor]]:
    """Squared errors of trained arms, [images, channels] by key and teacher: means over tokens, normalised space."""
    arms = {run.key: run.arm.to(features.device) for run in runs}
    parts: dict[str, dict[str, list[Tensor]]] = {key: {} for key in arms}
    for images, by_grid in features:
        for key, arm in arms.items():
            predictions = arm.predict(images, features.scale)[1]
            for teacher, spatial in _spatial(by_grid[arm.grid_at(features.scale)]):
                predicted, wanted = predictions[teacher], arm.space(teacher).targets(Features(None, spatial))
                assert predicted.spatial is not None, "a head predicts what its teacher has"
                assert wanted.spatial is not None
                error = (predicted.spatial - wanted.spatial).square().mean(dim=(1, 2))
                parts[key].setdefault(teacher, []).append(error.cpu())
    return {key: {teacher: torch.cat(p) for teacher, p in by.items()} for key, by in parts.items()}


def _spatial(features: Mapping[str, Features]) -> Iterator[tuple[str, Tensor]]:
    """Teachers with spatial features."""
    for teacher, of_teacher in features.items():
        if of_teacher.spatial is not None:
            yield teacher, of_teacher.spatial
