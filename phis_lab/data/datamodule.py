"""The data of one run, as Lightning asks for it."""

from typing import Literal

from lightning import LightningDataModule

from phis_lab.data.fixed_views import FixedViews
from phis_lab.data.loading import BatchLoader, CentralViews, EvalLoader, TrainViews
from phis_lab.data.options import DataSource
from phis_lab.data.sampler import StepSampler
from phis_lab.data.source import UNLABELLED, ImageSource
from phis_lab.data.subset import Subset
from phis_lab.data.transforms import Augmentation


class DataModule(LightningDataModule):
    """Training batches for steps `start_step` to `steps`, and loaders for evaluations.

    The training loader already gives each process its part of the batch, so the trainer needs
    `use_distributed_sampler=False`. One pass over it is the whole run.

    Args:
        source: the data set.
        augmentation: how training images are rendered, and the size of all images.
        steps: steps of the whole run.
    """

    def __init__(self, source: DataSource, augmentation: Augmentation, steps: int) -> None:
        super().__init__()
        self.source = source
        self.augmentation = augmentation
        self.steps = steps
        self.start_step = 0

    def train_dataloader(self) -> BatchLoader:
        """Returns the loader of the steps that remain, for this process of the attached trainer."""
        images = self.source.train
        sampler = StepSampler(
            len(images),
            self.source.batch_size,
            self.steps,
            self.source.seed,
            start=self.start_step,
            rank=self.trainer.global_rank if self.trainer else 0,
            world=self.trainer.world_size if self.trainer else 1,
            views=self.augmentation.views,
        )
        return BatchLoader(self._train_views(), sampler, self.source.workers)

    def fixed_train_views(self, every: bool = False) -> FixedViews:
        """Returns the training images in their fixed views: those that the run visits, or every one.

        Raises:
            ValueError: views are drawn afresh in every epoch.
        """
        if self.augmentation.views is None:
            raise ValueError("training images have no fixed views; set augmentation.views")
        steps_per_epoch = max(1, len(self.source.train) // self.source.batch_size)
        epochs = -(-self.steps // steps_per_epoch)
        views = self.augmentation.views if every else min(self.augmentation.views, epochs)
        return FixedViews(self._train_views(), "train", self.augmentation.fixed_recipe(), views, self.source.workers)

    def central_test_views(self, count: int) -> FixedViews:
        """Returns the test images as `eval_loader("test", count)` renders them."""
        views = CentralViews(self._images("test", count), self.augmentation)
        return FixedViews(views, "test", self.augmentation.central_recipe(), 1, self.source.workers)

    def eval_loader(
        self, split: Literal["train", "test"], count: int | None = None, labelled: bool = True
    ) -> EvalLoader:
        """Returns a loader of (images, labels) with the central views, the same in every process.

        Args:
            split: which images.
            count: size of a class-balanced subset; None or more than there are takes all.
            labelled: the labels will be used; otherwise an image may have none and gives -1.

        Raises:
            ValueError: `labelled`, and some of the images have no label.
        """
        images = self._images(split, count)
        missing = int((images.labels == UNLABELLED).sum())
        if labelled and missing:
            raise ValueError(
                f"{images.name}: this evaluation needs labels, {missing} of {len(images)} images have none; "
                "give them classes or choose evaluations that need none"
            )
        keys = [(index, 0) for index in range(len(images))]
        size = self.source.batch_size
        batches = [keys[at : at + size] for at in range(0, len(keys), size)]
        views = CentralViews(images, self.augmentation)
        return EvalLoader(BatchLoader(views, batches, self.source.workers), images.labels)

    def _train_views(self) -> TrainViews:
        fixed = self.augmentation.views is not None
        return TrainViews(self.source.train, self.augmentation, self.augmentation.seed if fixed else self.source.seed)

    def _images(self, split: Literal["train", "test"], count: int | None) -> ImageSource:
        images = self.source.train if split == "train" else self.source.test
        return Subset(images, count) if count is not None and count < len(images) else images
