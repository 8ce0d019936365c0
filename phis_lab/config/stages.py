"""Stages with their teachers, as the engine walks them."""

from collections.abc import Sequence
from functools import partial

from phis_lab.config.identity import feature_identity
from phis_lab.config.pool import Catalogue
from phis_lab.config.store import open_stores
from phis_lab.config.teachers import TeacherOptions
from phis_lab.data import DataModule, Partition
from phis_lab.data.stages import boundaries
from phis_lab.engine import Evaluation, FeatureProvider, Share, Stage, TrainerOptions
from phis_lab.students import Backbone


def build_stages(
    data: DataModule,
    backbones: Sequence[Backbone],
    catalogue: Catalogue,
    chosen: TeacherOptions,
    options: TrainerOptions,
    evaluation: Evaluation,
) -> list[Stage]:
    """The stages with their teachers, and what gives and remembers their features.

    Args:
        data: knows the plan of the stages.
        backbones: of all students that will be trained.
        catalogue: makes the teachers.
        chosen: options of the teacher set.
        options: of training.
        evaluation: says how many test images are matched.

    Raises:
        ValueError: a student's grid is finer than a teacher's.
    """
    spans = boundaries(data.stages, data.steps)
    stages: list[Stage] = []
    for (name, plan), (first, end) in zip(data.stages.items(), spans, strict=True):
        shares = {
            key: _share(data, partition, backbones, catalogue, chosen, options, evaluation, len(plan.partitions))
            for key, partition in plan.partitions.items()
        }
        fingerprint = data.source.train.fingerprint
        provenance = {
            key: feature_identity(share.train.pool, chosen, options.device, fingerprint, share.image_size)
            for key, share in shares.items()
        }
        stages.append(Stage(name, first, end, shares, provenance))
    return stages


def _share(
    data: DataModule,
    plan: Partition,
    backbones: Sequence[Backbone],
    catalogue: Catalogue,
    chosen: TeacherOptions,
    options: TrainerOptions,
    evaluation: Evaluation,
    partitions: int,
) -> Share:
    grids = {backbone.grid_at(plan.size) for backbone in backbones}
    pool = catalogue.pool(plan, grids)
    augmentation = data.augmentation.resized(plan.size)
    pool.check_grids(augmentation.image_size, grids, finer_students=chosen.match == "larger")
    stores = open_stores(chosen, pool, grids, data, evaluation, plan)
    memory = options.memory_gb / partitions
    remembered = memory if evaluation.every else 0.0
    images, views, match = len(data.source.train), augmentation.views, chosen.match
    return Share(
        plan=plan,
        batch_size=plan.batch_size(data.source.batch_size),
        image_size=augmentation.image_size,
        shift=augmentation.shift,
        train=FeatureProvider(pool, grids, images, views, memory, stores.train, match),
        test=FeatureProvider(pool, grids, evaluation.matching_images, 1, remembered, stores.test, match),
        loader=partial(data.eval_loader, partition=plan),
        classes=data.labelled.train.classes,
    )
