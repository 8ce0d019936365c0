"""Passes over a data set: which images are streamed at which sizes, and what is collected of the teachers' features."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from phis_lab.data import Augmentation, Batch, BatchLoader, DataSource, PartitionPlan, StagePlan, StepSampler
from phis_lab.data.loading import TrainViews
from phis_lab.engine import FeatureProvider
from phis_lab.engine.provider import Match
from phis_lab.features import Features, Grid
from phis_lab.linalg import Moments
from phis_lab.shapes import Float
from phis_lab.survey.tokens import TokenNorms, TokenSample
from phis_lab.teachers import TeacherPool


def passes(stages: Mapping[str, StagePlan], teachers: Iterable[str]) -> list[PartitionPlan]:
    """Every teacher at every pair of image sizes, its own and the student's, that it has in some stage.

    Args:
        stages: by name.
        teachers: names of the set.

    Returns:
        As few partitions as possible, each of which takes one pass over the images.
    """
    everyone = list(teachers)
    found: list[tuple[float, dict[str, float]]] = []
    for partition in (partition for stage in stages.values() for partition in stage.partitions.values()):
        for name, factor in partition.factors(everyone).items():
            together = (seen for size, seen in found if size == partition.scale and seen.get(name, factor) == factor)
            place = next(together, None)
            if place is None:
                place = {}
                found.append((partition.scale, place))
            place[name] = factor
    return [PartitionPlan(scale=size, teachers=seen) for size, seen in found]


@dataclass(frozen=True)
class FirstViews:
    """Training images, each once, in the view and the order of the first epoch of a run with the same options.

    Also those that would not fill a last batch. Where training views are larger than what the teachers see
    (`augmentation.shift`), it is their upper left part.

    Args:
        source: the data set.
        augmentation: renders the images.
        count: how many of them.
    """

    source: DataSource
    augmentation: Augmentation
    count: int

    def batches(self) -> Iterator[Batch]:
        """Yield the images, without the corrupt ones.

        Raises:
            ValueError: more than 1 % of them are corrupt.
        """
        fixed = self.augmentation.views is not None
        views = TrainViews(self.source.train, self.augmentation, self.augmentation.seed if fixed else self.source.seed)
        side = self.augmentation.image_size
        for batch in BatchLoader(views, self._keys(), self.source.workers, self.source.timeout_s):
            yield batch._replace(images=batch.images[..., :side, :side])

    def _keys(self) -> list[list[tuple[int, int]]]:
        singles = StepSampler(len(self.source.train), 1, self.count, self.source.seed, views=self.augmentation.views)
        keys = [key for step in singles for key in step]
        return [keys[at : at + self.source.batch_size] for at in range(0, self.count, self.source.batch_size)]


class Collected:
    """What one teacher's spatial features gave, in memory that does not grow with their number.

    Args:
        grid: on which its tokens are counted.
        dim: channels.
    """

    def __init__(self, grid: Grid, dim: int) -> None:
        self.grid, self.images = grid, 0
        self.moments, self.sample, self.norms = Moments(dim), TokenSample(dim), TokenNorms()

    def update(self, spatial: Float[Tensor, "b h w dim"]) -> None:
        """Takes in the features of some images.

        Raises:
            ValueError: they hold NaN or infinity.
        """
        self.moments.update(spatial.double())  # float64 as in a run; many float32 rows would be multiplied in float32
        self.sample.update(spatial)
        self.norms.update(spatial)
        self.images += len(spatial)


class FeatureSource:
    """Spatial features of images, as a run compares them with a student's, or as the teachers give them.

    Args:
        pool: the teachers.
        grid: of the student; None for each teacher's own grid.
        match: what a run compares, on which grid.
    """

    def __init__(self, pool: TeacherPool, grid: Grid | None, match: Match) -> None:
        self.pool, self.grid = pool, grid
        self._provider = None if grid is None else FeatureProvider(pool, {grid}, 0, None, 0.0, match=match)

    def __call__(self, images: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b _ _ _"]]:
        """By name, of the teachers that have any."""
        features: dict[str, Features] = self.pool(images) if self._provider is None else self._matched(images)
        return {name: found.spatial for name, found in features.items() if found.spatial is not None}

    def _matched(self, images: Float[Tensor, "b 3 h w"]) -> dict[str, Features]:
        assert self._provider is not None
        (features,) = self._provider(images).values()
        return features


def collect(
    batches: Iterable[Batch], features: FeatureSource, device: torch.device, advance: Callable[[int], None]
) -> dict[str, Collected]:
    """Run the teachers over all images and count their tokens.

    Args:
        batches: the images.
        features: of teachers that are on `device`.
        device: where they run.
        advance: told of the number of images after each batch.

    Returns:
        What each teacher with spatial features gave, by name.

    Raises:
        ValueError: features are not finite, naming the teacher.
    """
    collected: dict[str, Collected] = {}
    for batch in batches:
        for name, spatial in features(batch.images.to(device)).items():
            if name not in collected:
                rows, columns, dim = spatial.shape[1:]
                collected[name] = Collected((rows, columns), dim)
            try:
                collected[name].update(spatial)
            except ValueError as error:
                raise ValueError(f"teacher '{name}', after {collected[name].images} images: {error}") from error
        advance(len(batch.images) + len(batch.corrupt))
    return collected
