"""The feature stores of a configuration, and `phis-lab cache`, which fills them without a run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from phis_lab.config.build import build
from phis_lab.config.check import check
from phis_lab.config.compose import composed
from phis_lab.config.plan import read_stages
from phis_lab.config.pool import Catalogue
from phis_lab.config.teachers import TeacherOptions, split
from phis_lab.data import Augmentation, DataModule, Partition
from phis_lab.data.stages import WHOLE
from phis_lab.engine import Evaluation
from phis_lab.features import Grid
from phis_lab.students import Backbone
from phis_lab.teachers import TeacherPool, check_available
from phis_lab.teachers.store import FeatureStore, TableReport


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


def fill_stores(overrides: Sequence[str], config_dir: Path | None = None) -> list[TableReport]:
    """Fill the store that a command line names with every view, for its teachers, student, data and evaluation.

    Args:
        overrides: as for `run.py`, among them `teachers.store=PATH`.
        config_dir: of own configurations.

    Raises:
        ValueError: an option is refused, or the disk is too small.
    """
    config = composed(overrides, config_dir)
    check(config)
    members, chosen = split(config["teachers"])
    if chosen.store is None:
        raise ValueError("there is no store to fill: say teachers.store=PATH")
    check_available(members)
    augmentation = build(config["augmentation"], "augmentation")
    refuse_unstorable(chosen, augmentation)
    options = build(config["trainer"], "trainer")
    stages = read_stages(config["stages"], members)
    data = DataModule(build(config["data"], "data"), augmentation, options.max_steps, stages)
    student: Backbone = build(config["student"], "student")
    evaluation = build(config["evaluation"], "evaluation")
    device = torch.device(options.device)
    catalogue = Catalogue(members, chosen, options.teacher_precision)
    reports: dict[Path, TableReport] = {}
    for partition in (partition for stage in stages.values() for partition in stage.partitions.values()):
        grids = {student.grid_at(partition.size)}
        pool = catalogue.pool(partition, grids).to(device)
        for store in open_stores(chosen, pool, grids, data, evaluation, partition, every_view=True):
            assert store is not None
            store.prepare(device)
            reports |= {report.folder: report for report in store.reports()}
    return list(reports.values())
