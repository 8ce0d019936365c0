"""The data of one run, as Lightning asks for it."""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Literal

from lightning import LightningDataModule

from phis_lab.data.datasource import DataSource
from phis_lab.data.fixed_views import FixedViews
from phis_lab.data.loading import Batch, BatchLoader, CentralViews, EvalLoader, TrainViews
from phis_lab.data.sampler import StepSampler
from phis_lab.data.source import UNLABELLED, ImageSource, UnlabelledError
from phis_lab.data.stage_plans import ONE_STAGE, WHOLE, PartitionPlan, StagePlan, boundaries
from phis_lab.data.subset import Subset
from phis_lab.data.transforms import Augmentation
from phis_lab.seeds import named_seed


class DataModule(LightningDataModule):
    """Training batches for steps `start_step` to `steps`, and loaders for evaluations.

    A step is a dict with one batch per partition of its stage. The loader already gives each process its part of
    every batch, so the trainer needs `use_distributed_sampler=False`. One pass over it is the whole run. Where `ranks`
    tells which processes work on each partition of a stage, a process has the batches of its own alone.

    Args:
        source: the data set.
        augmentation: how training images are rendered, and the size of all images.
        steps: steps of the whole run.
        stages: what the steps are divided into.
        labelled: the data set that evaluations with labels see; None is `source`.

    Raises:
        ValueError: a stage has less than one step.
    """

    def __init__(
        self,
        source: DataSource,
        augmentation: Augmentation,
        steps: int,
        stages: Mapping[str, StagePlan] = ONE_STAGE,
        labelled: DataSource | None = None,
    ) -> None:
        super().__init__()
        self.source, self.augmentation = source, augmentation
        self.labelled = source if labelled is None else labelled
        self.steps, self.stages = steps, dict(stages)
        self.start_step = 0
        self.ranks: Mapping[str, Mapping[str, range]] = {}
        self._spans = dict(zip(stages, boundaries(stages, steps), strict=True))

    def train_dataloader(self) -> Iterator[dict[str, Batch]]:
        """Yields the steps that remain, for this process of the attached trainer."""
        for name, (_, end) in self._spans.items():
            if self.start_step < end:
                loaders = self._loaders(name)
                for batches in zip(*loaders.values(), strict=True):
                    yield dict(zip(loaders, batches, strict=True))

    def _loaders(self, stage: str) -> dict[str, BatchLoader]:
        """One loader per partition; the partitions of a step are different images."""
        partitions = self.stages[stage].partitions
        sizes = self.stages[stage].batch_sizes(self.source.batch_size)
        ends = dict(zip(sizes, accumulate(sizes.values()), strict=True))
        first, end = self._spans[stage]
        number = list(self.stages).index(stage)
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        crews = {name: self.ranks.get(stage, {}).get(name, range(world)) for name in partitions}
        seed = self.source.seed if number == 0 else named_seed("stage", self.source.seed, number)
        return {
            name: BatchLoader(
                self._train_views(partition, seed),
                StepSampler(
                    len(self.source.train),
                    sum(sizes.values()),
                    end - first,
                    seed,
                    start=max(0, self.start_step - first),
                    rank=crews[name].index(rank),
                    world=len(crews[name]),
                    views=self.augmentation.views,
                    part=slice(ends[name] - sizes[name], ends[name]),
                ),
                self.source.workers,
                self.source.timeout_s,
            )
            for name, partition in partitions.items()
            if rank in crews[name]
        }

    def fixed_train_views(self, partition: PartitionPlan = WHOLE, every: bool = False) -> FixedViews:
        """Returns the training images in their fixed views: those that the run visits, or every one.

        Raises:
            ValueError: views are drawn afresh in every epoch.
        """
        if self.augmentation.views is None:
            raise ValueError("training images have no fixed views; set augmentation.views")
        views = self.augmentation.views if every else min(self.augmentation.views, self._epochs(partition))
        rendered = self._train_views(partition, self.source.seed)
        recipe = rendered.augmentation.fixed_recipe()
        return FixedViews(rendered, "train", recipe, views, self.source.workers, self.source.timeout_s)

    def _epochs(self, partition: PartitionPlan) -> int:
        """In how many epochs at most a stage visits the images of a partition."""
        epochs = 1
        for (first, end), plan in zip(self._spans.values(), self.stages.values(), strict=True):
            if partition in plan.partitions.values():
                batch = sum(part.batch_size(self.source.batch_size) for part in plan.partitions.values())
                epochs = max(epochs, -(-(end - first) // max(1, len(self.source.train) // batch)))
        return epochs

    def central_test_views(self, count: int, partition: PartitionPlan = WHOLE) -> FixedViews:
        """Returns the test images as `eval_loader("test", count)` renders them."""
        views = CentralViews(_images(self.source, "test", count), self.augmentation.resized(partition.scale))
        recipe = views.augmentation.central_recipe()
        return FixedViews(views, "test", recipe, 1, self.source.workers, self.source.timeout_s)

    def eval_loader(
        self,
        split: Literal["train", "test"],
        count: int | None = None,
        labelled: bool = True,
        partition: PartitionPlan = WHOLE,
    ) -> EvalLoader:
        """Returns a loader of (images, labels) with the central views, the same in every process.

        Args:
            split: which images.
            count: size of a class-balanced subset; None or more than there are takes all.
            labelled: the labels will be used, so the images are those of the labelled data set; otherwise they are
                those of training, and an image may have no label and gives -1.
            partition: whose image size they have.

        Raises:
            ValueError: `labelled`, and some of the images have no label, or there are no test images.
        """
        source = self.labelled if labelled else self.source
        images = _images(source, split, count)
        if labelled:
            _require_labels(source, split, images)
        keys = [(index, 0) for index in range(len(images))]
        size = source.batch_size
        batches = [keys[at : at + size] for at in range(0, len(keys), size)]
        views = CentralViews(images, self.augmentation.resized(partition.scale))
        return EvalLoader(BatchLoader(views, batches, source.workers, source.timeout_s), images.labels)

    def _train_views(self, partition: PartitionPlan, seed: int) -> TrainViews:
        augmentation = self.augmentation.resized(partition.scale)
        return TrainViews(self.source.train, augmentation, seed if augmentation.views is None else augmentation.seed)


def _require_labels(source: DataSource, split: Literal["train", "test"], images: ImageSource) -> None:
    missing, count = int((images.labels == UNLABELLED).sum()), len(images)
    if split == "test" and source.lacks_test is not None:
        raise UnlabelledError(source.lacks_test)
    if missing == count:
        raise UnlabelledError(f"{images.name} has no labels")
    if missing:
        raise ValueError(
            f"{images.name}: this evaluation needs labels, {missing} of {count} images have none; give them "
            "classes, choose evaluation=matching, which needs no labels and no test images, or measure on another "
            "data set with evaluation.data=..."
        )


def _images(source: DataSource, split: Literal["train", "test"], count: int | None) -> ImageSource:
    images = source.train if split == "train" else source.test
    return Subset(images, count) if count is not None and count < len(images) else images
