"""The feature stores of a configuration."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from phis_lab.config.teachers import TeacherOptions
from phis_lab.data import Augmentation, DataModule, Partition
from phis_lab.data.stages import WHOLE
from phis_lab.engine import Evaluation
from phis_lab.features import Grid
from phis_lab.teachers import TeacherPool
from phis_lab.teachers.store import FeatureStore


class Stores(NamedTuple):
    """Features of the training views and of the test images that teacher matching uses."""

    train: FeatureStore | None = None
    test: FeatureStore | None = None


def refuse_unstorable(options: TeacherOptions, augmentation: Augmentation) -> None:
    """Raise ValueError where features would be stored of views that nobody sees again, or on no student's grid."""
    if options.store is not None and options.match != "student":
        raise ValueError("teachers.store keeps features on the students' grids; set teachers.match=student")
    if options.store is not None and augmentation.views is None:
        raise ValueError(
            "teachers.store keeps features of fixed views, and augmentation.views=null draws fresh ones in every "
            "epoch; set augmentation.views to a number, or augmentation=none, or leave teachers.store out"
        )


def open_stores(
    options: TeacherOptions,
    pool: TeacherPool,
    grids: Iterable[Grid],
    data: DataModule,
    evaluation: Evaluation,
    partition: Partition = WHOLE,
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
