"""One pass over a data set: everything that statistics of its teachers' features are made from."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from phis_lab.data import Batch
from phis_lab.engine import FeatureProvider
from phis_lab.engine.provider import Match
from phis_lab.features import Features, Grid
from phis_lab.linalg import Moments
from phis_lab.shapes import Float
from phis_lab.survey.norms import TokenNorms
from phis_lab.survey.sample import TokenSample
from phis_lab.teachers import TeacherPool


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
