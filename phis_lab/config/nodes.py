"""What a run reads of its configuration: one field for every node; a key that is none of these is refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from phis_lab.bounds import NonNegative, Positive, Seed, Supplied
from phis_lab.config.teachers import TeacherOptions
from phis_lab.data import Augmentation, DataSource, Partition, StagePlan
from phis_lab.data.masks import MaskedData
from phis_lab.engine import Estimation, Evaluation, OptimizerRecipe, TrainerOptions
from phis_lab.losses import Balancer, Loss
from phis_lab.normalizers import FeatureMap
from phis_lab.strategies import DataParallel, Single
from phis_lab.students import Backbone, HeadFactory
from phis_lab.teachers import Teacher
from phis_lab.tracking import Logger


@dataclass(frozen=True, kw_only=True)
class Online:
    """Numbers of `estimation=online`, which scales set."""

    steps: Positive
    refresh_every: Positive
    warmup_steps: NonNegative


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where runs are written."""

    outputs: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """The nodes of a configuration; `segmentation` and `transfer` come with the tasks that read them."""

    teachers: Annotated[Mapping[str, Teacher], TeacherOptions]
    student: Backbone
    head: Annotated[HeadFactory, Supplied("in_dim", "out_dim", "widest", "depth")]
    normalizer: Annotated[Callable[..., FeatureMap], Supplied("dim", "out_dim")]
    loss: Loss
    balancer: Balancer
    estimation: Estimation
    data: DataSource
    augmentation: Augmentation
    optimizer: OptimizerRecipe
    trainer: TrainerOptions
    evaluation: Evaluation
    strategy: Single | DataParallel
    logger: Mapping[str, Annotated[Callable[..., Logger], Supplied("folder")]]
    paths: Paths
    stages: Mapping[str, StagePlan] | None
    seed: Seed
    label: str | None
    online: Online
    segmentation: MaskedData
    transfer: Mapping[str, DataSource]


PLAIN = (Run, Online, Paths, StagePlan, Partition)
"""Read as mappings of their fields; every other class is a part that names itself by `_target_`."""
