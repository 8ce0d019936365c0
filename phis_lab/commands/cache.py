"""`phis-lab cache`: fills a feature store without a run."""

from collections.abc import Sequence
from pathlib import Path

import torch

from phis_lab.config.assemble import refuse_unstorable
from phis_lab.config.build import build
from phis_lab.config.check import check
from phis_lab.config.compose import composed
from phis_lab.config.stage_options import open_stores, read_stages
from phis_lab.config.teachers import Catalogue, split
from phis_lab.data import DataModule
from phis_lab.students import Backbone
from phis_lab.teachers import check_available
from phis_lab.teachers.store import TableReport


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
        grids = {student.grid_at(partition.scale)}
        pool = catalogue.pool(partition, grids).to(device)
        for store in open_stores(chosen, pool, grids, data, evaluation, partition, every_view=True):
            assert store is not None
            store.prepare(device)
            reports |= {report.folder: report for report in store.reports()}
    return list(reports.values())
