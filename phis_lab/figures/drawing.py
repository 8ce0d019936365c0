"""All figures into a folder, as files for a page and for a screen."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from phis_lab.figures.errors import isotropic_errors, one_hot_errors, radius_against_angle
from phis_lab.figures.gallery import gallery, rotated_distributions
from phis_lab.figures.study import Folders, StudyFigures
from phis_lab.reports import Study, group_studies
from phis_lab.runs import find_records
from phis_lab.whole_files import write_whole

Format = Literal["png", "svg"]
ALL_FORMATS: tuple[Format, ...] = ("png", "svg")

SYNTHETIC: dict[str, Callable[[], Figure]] = {
    "figure4_rotated": rotated_distributions,
    "figure5_gallery": gallery,
    "figure6_one_hot_errors": one_hot_errors,
    "figure7_isotropic_errors": isotropic_errors,
    "figure8_radius": radius_against_angle,
}
"""Those that need no run."""


class Drawn(NamedTuple):
    """The files written, and a sentence for everything that could not be drawn."""

    files: list[Path]
    left_out: list[str]


def draw(
    folder: str | Path | None,
    out: str | Path,
    formats: Collection[Format] = ALL_FORMATS,
    images: int = 1000,
    trusted: Sequence[str] = (),
) -> Drawn:
    """Writes figures 4 to 8, which need no run, and 1, 2, 3 and 9 of the runs below a folder.

    Args:
        folder: a run, a sweep, or many of them; runs that cannot be compared go into figures of their own. None
            draws the synthetic figures alone.
        out: where the files go.
        formats: kinds of files: PNG at 200 dots per inch, SVG with scatter plots as pixels.
        images: at most so many test images for figures 1, 2 and 9.
        trusted: modules that the runs may name beside the shipped configuration.

    Raises:
        ValueError: `folder` holds no finished run.
    """
    studies, left_out = ([], []) if folder is None else _studies(Path(folder))
    root = Path(out)
    root.mkdir(parents=True, exist_ok=True)
    drawn = Drawn([], left_out)

    def save(name: str, figure: Figure, prefix: str = "") -> None:
        drawn.files.extend(write_figure(figure, root / f"{prefix}{name}", formats))

    for name, make in SYNTHETIC.items():
        save(name, make())
    for number, (study, folders) in enumerate(studies, start=1):
        prefix = f"study{number}_" if len(studies) > 1 else ""
        reasons = StudyFigures(study, folders, images, partial(save, prefix=prefix), trusted).draw()
        drawn.left_out.extend(f"{study.title}: {reason}" for reason in reasons)
    return Drawn(sorted(drawn.files), drawn.left_out)


def write_figure(figure: Figure, stem: Path, formats: Collection[Format]) -> list[Path]:
    """One file per format; the same figure gives the same bytes."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in formats]
    with mpl.rc_context({"svg.hashsalt": "phis_lab"}):
        for path in paths:
            kind = path.suffix.removeprefix(".")
            write_whole(path, partial(figure.savefig, format=kind, metadata={"Date": None} if kind == "svg" else None))
    return paths


def _studies(root: Path) -> tuple[list[tuple[Study, Folders]], list[str]]:
    """Comparable finished runs below a folder, with the folder of each, and why others are left out."""
    found, left_out = find_records(root)
    finished = {run: record for run, record in found.items() if record.status == "complete" and record.teacher_metrics}
    if not finished:
        problems = ["holds no finished run; without a folder the figures that need none are drawn", *left_out]
        raise ValueError(f"{root} " + "\n".join(problems))
    studies = group_studies(list(finished.values()), [folder.relative_to(root) for folder in finished])
    left_out += [f"{study.title}: {repeat}" for study in studies for repeat in study.repeats]
    folders = {
        study.title: {(r.config_sha256, r.seed): run for run, r in finished.items() if r.name == study.records[0].name}
        for study in studies
        if study.records
    }
    return [(study, folders[study.title]) for study in studies if study.records], left_out
