"""Images: data sets read by position, one augmentation pipeline, and a sampler that counts steps.

A data set is an option with its own module, as `phis_lab.data.fashion_mnist.FashionMNIST`, imported when it
is chosen.
"""

import phis_lab._torchvision  # noqa: F401
from phis_lab.data.datamodule import DataModule
from phis_lab.data.datasource import DataSource
from phis_lab.data.decoding import CorruptImageError
from phis_lab.data.fixed_views import FixedViews
from phis_lab.data.left_out import CorruptCounter
from phis_lab.data.loading import Batch, BatchLoader, EvalLoader
from phis_lab.data.sampler import StepSampler
from phis_lab.data.source import ImageSource, NoImages, TensorImages, UnlabelledError
from phis_lab.data.stage_plans import ONE_STAGE, PartitionPlan, StagePlan
from phis_lab.data.subset import Subset
from phis_lab.data.transforms import Augmentation

__all__ = [
    "ONE_STAGE",
    "Augmentation",
    "Batch",
    "BatchLoader",
    "CorruptCounter",
    "CorruptImageError",
    "DataModule",
    "DataSource",
    "EvalLoader",
    "FixedViews",
    "ImageSource",
    "NoImages",
    "PartitionPlan",
    "StagePlan",
    "StepSampler",
    "Subset",
    "TensorImages",
    "UnlabelledError",
]
