"""`phis-lab stats`: from a command line to a folder of statistics, which is written whole or not at all."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from phis_lab.config.build import build
from phis_lab.config.check import check
from phis_lab.config.compose import composed
from phis_lab.config.stage_options import read_stages
from phis_lab.config.teachers import Catalogue, feature_identity, split
from phis_lab.data import Augmentation, DataSource, PartitionPlan
from phis_lab.engine import TrainerOptions
from phis_lab.engine.estimation.saved_moments import moments_file, provenance_of
from phis_lab.figures.drawing import ALL_FORMATS, write_figure
from phis_lab.linalg import Moments
from phis_lab.reports import markdown
from phis_lab.reports.sheets import Sheet
from phis_lab.students import Backbone
from phis_lab.survey.passes import FeatureSource, FirstViews, collect, passes
from phis_lab.survey.plots import CAPTIONS, figures
from phis_lab.survey.statistics import FILE_NAME, Statistics, TeacherStatistics, read_statistics, write_statistics
from phis_lab.survey.summary import summarise
from phis_lab.survey.topics import sheets
from phis_lab.teachers import check_available
from phis_lab.teachers.store.complete import FillProgress
from phis_lab.whole_files import part_folder

REPORT = "statistics.md"
log = logging.getLogger(__name__)


def write_folder(folder: Path, statistics: Statistics, moments: Mapping[str, Moments]) -> list[Path]:
    """Write everything beside the folder and move it there at the end, so that no file is ever half-written.

    Args:
        folder: is made where it is not there; files of the same names are replaced, others stay.
        statistics: all that the report shows.
        moments: by the name of their file.

    Returns:
        The files written: moments first, the data last.
    """
    with part_folder(folder) as part:
        written = _write(part, statistics, moments)
        folder.mkdir(exist_ok=True)
        for path in written:
            path.replace(folder / path.name)
    return [folder / path.name for path in written]


def _write(folder: Path, statistics: Statistics, moments: Mapping[str, Moments]) -> list[Path]:
    written = [folder / name for name in moments]
    for path, of_teacher in zip(written, moments.values(), strict=True):
        of_teacher.save(path)
    for name, figure in figures(statistics).items():
        written += write_figure(figure, folder / name, ALL_FORMATS)
    (folder / REPORT).write_text(_markdown(statistics), encoding="utf-8")
    write_statistics(folder, statistics)
    return [*written, folder / REPORT, folder / FILE_NAME]


def _markdown(statistics: Statistics) -> str:
    parts = ["# Teacher statistics", "", *(markdown(sheet) for sheet in sheets(statistics))]
    for name, caption in CAPTIONS.items():
        parts += [f"![{name}]({name}.png)", "", caption, ""]
    return "\n".join(parts)


@dataclass(frozen=True)
class Survey:
    """What `phis-lab stats` shows: the tables of these teachers, what to beware of, and the files written."""

    sheets: tuple[Sheet, ...]
    remarks: tuple[str, ...]
    files: tuple[Path, ...]


Found = dict[str, tuple[TeacherStatistics, Moments]]
"""Statistics and moments by the name of the moments' file."""


def survey(
    overrides: Sequence[str],
    out: Path,
    images: int | None = None,
    own_grid: bool = False,
    config_dir: Path | None = None,
) -> Survey:
    """Gather the statistics of every teacher in one pass over the training images, and write them.

    Each image is seen once, in its first view. Stages at several image sizes take a pass each. Statistics that the
    folder already has, of other teachers, image sizes or grids, stay in its report.

    Args:
        overrides: as for `run.py`; teachers, data, augmentation, stages, trainer and the student's grid count.
        out: folder to write into.
        images: at most so many; None for all.
        own_grid: count tokens on each teacher's own grid, as the paper does, and not where a run compares them.
        config_dir: of own configurations.

    Raises:
        ValueError: an option is refused, a teacher's features are not finite or constant, none has spatial features, or
            `out` holds something else.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; --out names a folder")
    before = read_statistics(out)
    parts = _Parts(overrides, images, config_dir)
    found: Found = {}
    with FillProgress(parts.count * len(parts.passes), True, Console()) as progress:
        for partition in parts.passes:
            found |= parts.gather(partition, own_grid, progress)
    if not found:
        raise ValueError(f"none of the teachers {', '.join(parts.members)} has spatial features")
    log.info("Writing to %s.", out)
    new = Statistics(teachers={Path(file).stem: numbers for file, (numbers, _) in found.items()})
    files = write_folder(out, before.joined(new), {file: moments for file, (_, moments) in found.items()})
    return Survey(tuple(sheets(new)), tuple(_remarks(parts.members, new)), tuple(files))


class _Parts:
    """What a command line stands for; teachers are loaded when a pass needs them.

    Args:
        overrides: as for `run.py`.
        images: at most so many.
        config_dir: of own configurations.
    """

    def __init__(self, overrides: Sequence[str], images: int | None, config_dir: Path | None) -> None:
        config = composed(overrides, config_dir)
        check(config)
        self.members, self.chosen = split(config["teachers"])
        check_available(self.members)
        self.options: TrainerOptions = build(config["trainer"], "trainer")
        self.source: DataSource = build(config["data"], "data")
        self.augmentation: Augmentation = build(config["augmentation"], "augmentation")
        self.backbone: Backbone = build(config["student"], "student")
        self.passes = passes(read_stages(config["stages"], self.members), self.members)
        self.catalogue = Catalogue(self.members, self.chosen, self.options.teacher_precision)
        self.count = min(images or len(self.source.train), len(self.source.train))

    def gather(self, partition: PartitionPlan, own_grid: bool, progress: FillProgress) -> Found:
        """One pass: every teacher of a partition."""
        grid, device = self.backbone.grid_at(partition.scale), torch.device(self.options.device)
        pool = self.catalogue.pool(partition, {grid}).to(device)
        features = FeatureSource(pool, None if own_grid else grid, self.chosen.match)
        views = FirstViews(self.source, self.augmentation.resized(partition.scale), self.count)
        fingerprint, pixels = self.source.train.fingerprint, views.augmentation.image_size
        identity = feature_identity(pool, self.chosen, self.options.device, fingerprint, pixels)
        found: Found = {}
        for name, collected in collect(views.batches(), features, device, progress.advance).items():
            place = collected.grid if own_grid else grid
            moments = collected.moments
            moments.provenance = provenance_of(identity[name], place) | {"images": str(collected.images)}
            try:
                numbers = summarise(collected, pool.teachers[name].weights.source)
            except ValueError as error:
                raise ValueError(f"teacher '{name}': {error}") from error
            found[moments_file(Path(), identity[name], place).name] = numbers, moments
        return found


def _remarks(teachers: Mapping[str, object], statistics: Statistics) -> Iterator[str]:
    """What a reader of the tables has to know."""
    there = {of.provenance["teacher"] for of in statistics.teachers.values()}
    for name in teachers:
        if name not in there:
            yield f"{name} has no spatial features: left out."
    for of in statistics.teachers.values():
        channels = len(of.spectrum.eigenvalues)
        if of.tokens <= channels:
            yield (
                f"{of.provenance['teacher']} gave {of.tokens} tokens for {channels} channels: at least "
                f"{channels - of.tokens + 1} eigenvalues are zero whatever the teacher, and their directions, with "
                "the rotation, arbitrary. Take more images."
            )
