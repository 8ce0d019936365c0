"""The feature stores of a configuration, and `phis-lab cache`, which fills them without a run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from phis_lab.config.build import build
from phis_lab.config.check import check
from phis_lab.config.globs import CONF
from phis_lab.config.hints import explain
from phis_lab.config.pool import build_pool
from phis_lab.config.resolvers import register_resolvers, to_plain
from phis_lab.config.teachers import TeacherOptions, split
from phis_lab.data import Augmentation, DataModule
from phis_lab.distill import Evaluation
from phis_lab.students import Backbone
from phis_lab.teachers import Grid, TeacherPool, check_available
from phis_lab.teachers.store import FeatureStore, TableReport


class Stores(NamedTuple):
    """Features of the training views and of the test images that teacher matching uses."""

    train: FeatureStore | None = None
    test: FeatureStore | None = None


def refuse_fresh_views(options: TeacherOptions, augmentation: Augmentation) -> None:
    """Raise ValueError where features would be stored of views that nobody sees again."""
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
    every_view: bool = False,
) -> Stores:
    """The stores that a run reads; nothing is verified or filled yet.

    Args:
        options: of the teachers.
        pool: the teachers.
        grids: token grids of the students.
        data: gives the images.
        evaluation: says how many test images it needs.
        every_view: also the views that a run of this length does not reach.
    """
    if options.store is None:
        return Stores()
    root, wanted = Path(options.store).expanduser(), set(grids)
    images = data.fixed_train_views(every_view), data.central_test_views(evaluation.matching_images)
    return Stores(*(FeatureStore(root, options.store_dtype, pool, wanted, of) for of in images))


def fill_stores(overrides: Sequence[str]) -> list[TableReport]:
    """Fill the store that a command line names with every view, for its teachers, student, data and evaluation.

    Args:
        overrides: as for `run.py`, among them `teachers.store=PATH`.

    Raises:
        ValueError: an option is refused, or the disk is too small.
    """
    config = _composed(overrides)
    check(config)
    members, chosen = split(config["teachers"])
    if chosen.store is None:
        raise ValueError("there is no store to fill: say teachers.store=PATH")
    check_available(members)
    augmentation = build(config["augmentation"], "augmentation")
    refuse_fresh_views(chosen, augmentation)
    options = build(config["trainer"], "trainer")
    data = DataModule(build(config["data"], "data"), augmentation, options.max_steps)
    student: Backbone = build(config["student"], "student")
    evaluation = build(config["evaluation"], "evaluation")
    device = torch.device(options.device)
    pool = build_pool(members, chosen, options.teacher_precision, {student.grid}).to(device)
    reports: list[TableReport] = []
    for store in open_stores(chosen, pool, {student.grid}, data, evaluation, every_view=True):
        assert store is not None
        store.prepare(device)
        reports += store.reports()
    return reports


def _composed(overrides: Sequence[str]) -> dict[str, Any]:
    register_resolvers()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return to_plain(compose("config", list(overrides), return_hydra_config=True))
    except HydraException as error:
        raise ValueError("\n".join([str(error), *explain(overrides)])) from error
