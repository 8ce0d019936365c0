"""What has to be streamed: the image sizes of a configuration, and at each the images that a run sees first."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from phis_lab.data import Augmentation, Batch, BatchLoader, DataSource, PartitionPlan, StagePlan, StepSampler
from phis_lab.data.loading import TrainViews


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
        for batch in BatchLoader(views, self._keys(), self.source.workers):
            yield batch._replace(images=batch.images[..., :side, :side])

    def _keys(self) -> list[list[tuple[int, int]]]:
        singles = StepSampler(len(self.source.train), 1, self.count, self.source.seed, views=self.augmentation.views)
        keys = [key for step in singles for key in step]
        return [keys[at : at + self.source.batch_size] for at in range(0, self.count, self.source.batch_size)]
