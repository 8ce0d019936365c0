"""The `stages` node: what the steps of a run are divided into, with the teachers and stored features of each."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from phis_lab.config.teachers import Catalogue, TeacherOptions, feature_identity
from phis_lab.data import ONE_STAGE, DataModule, PartitionPlan, StagePlan
from phis_lab.data.stage_plans import WHOLE, boundaries
from phis_lab.engine import Evaluation, FeatureProvider, Partition, Stage, TrainerOptions
from phis_lab.features import Grid
from phis_lab.students import Backbone
from phis_lab.teachers import TeacherPool
from phis_lab.teachers.store import FeatureStore


def read_stages(node: Mapping[str, Any] | None, teachers: Iterable[str]) -> Mapping[str, StagePlan]:
    """The stages by name; one for all steps where none are chosen.

    Args:
        node: `stages` of the resolved configuration.
        teachers: names that a partition may have.

    Raises:
        ValueError: an option has a wrong value, or a teacher is not of the set; with its dotted name.
    """
    if not node:
        return ONE_STAGE
    try:
        plans = TypeAdapter(dict[str, StagePlan]).validate_python(dict(node))
    except ValidationError as error:
        problems = (f"stages.{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors())
        raise ValueError("; ".join(problems)) from error
    known = list(teachers)
    for name, plan in plans.items():
        for key, partition in plan.partitions.items():
            seen = partition.factors(known)
            foreign = [teacher for teacher in seen if teacher not in known]
            if foreign or not seen:
                wrong = f"no teacher is named {', '.join(foreign)}" if foreign else "names no teacher"
                raise ValueError(f"stages.{name}.partitions.{key}.teachers: {wrong}; there are {', '.join(known)}")
    return plans


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
        partitions = {
            key: _partition(data, partition, backbones, catalogue, chosen, options, evaluation, len(plan.partitions))
            for key, partition in plan.partitions.items()
        }
        fingerprint = data.source.train.fingerprint
        provenance = {
            key: feature_identity(partition.train.pool, chosen, options.device, fingerprint, partition.image_size)
            for key, partition in partitions.items()
        }
        stages.append(Stage(name, first, end, partitions, provenance))
    return stages


def _partition(
    data: DataModule,
    plan: PartitionPlan,
    backbones: Sequence[Backbone],
    catalogue: Catalogue,
    chosen: TeacherOptions,
    options: TrainerOptions,
    evaluation: Evaluation,
    partitions: int,
) -> Partition:
    grids = {backbone.grid_at(plan.scale) for backbone in backbones}
    pool = catalogue.pool(plan, grids)
    augmentation = data.augmentation.resized(plan.scale)
    pool.check_grids(augmentation.image_size, grids, finer_students=chosen.match == "larger")
    stores = open_stores(chosen, pool, grids, data, evaluation, plan)
    memory = options.memory_gb / partitions
    remembered = memory if evaluation.every else 0.0
    images, views, match = len(data.source.train), augmentation.views, chosen.match
    return Partition(
        plan=plan,
        batch_size=plan.batch_size(data.source.batch_size),
        image_size=augmentation.image_size,
        shift=augmentation.shift,
        train=FeatureProvider(pool, grids, images, views, memory, stores.train, match),
        test=FeatureProvider(pool, grids, evaluation.matching_images, 1, remembered, stores.test, match),
        loader=partial(data.eval_loader, partition=plan),
        classes=data.labelled.train.classes,
    )


class Stores(NamedTuple):
    """Features of the training views and of the test images that teacher matching uses."""

    train: FeatureStore | None = None
    test: FeatureStore | None = None


def open_stores(
    options: TeacherOptions,
    pool: TeacherPool,
    grids: Iterable[Grid],
    data: DataModule,
    evaluation: Evaluation,
    partition: PartitionPlan = WHOLE,
    every_view: bool = False,
) -> Stores:
    """The stores that a run reads; nothing is verified or filled yet.

    Args:
        options: of the teachers.
        pool: the teachers.
        grids: token grids of the students.
        data: gives the images.
        evaluation: says how many test images it needs.
        partition: whose images they are.
        every_view: also the views that a run of this length does not reach.
    """
    if options.store is None:
        return Stores()
    root, wanted = Path(options.store).expanduser(), set(grids)
    images = (
        data.fixed_train_views(partition, every_view),
        data.central_test_views(evaluation.matching_images, partition),
    )
    return Stores(*(FeatureStore(root, options.store_dtype, pool, wanted, of) for of in images))
