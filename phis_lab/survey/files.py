"""A folder of statistics: moments, data, tables and figures, written whole or not at all."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from phis_lab.figures.files import ALL_FORMATS, write_figure
from phis_lab.linalg import Moments
from phis_lab.reports import markdown
from phis_lab.survey.plots import CAPTIONS, figures
from phis_lab.survey.record import FILE_NAME, Statistics
from phis_lab.survey.sheets import sheets

REPORT = "statistics.md"


def write_folder(folder: Path, statistics: Statistics, moments: Mapping[str, Moments]) -> list[Path]:
    """Write everything beside the folder and move it there at the end, so that no file is ever half-written.

    Args:
        folder: is made where it is not there; files of the same names are replaced, others stay.
        statistics: all that the report shows.
        moments: by the name of their file.

    Returns:
        The files written: moments first, the data last.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        written = _write(Path(temporary), statistics, moments)
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
    texts = {REPORT: _markdown(statistics), FILE_NAME: statistics.model_dump_json(indent=1) + "\n"}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [*written, *(folder / name for name in texts)]


def _markdown(statistics: Statistics) -> str:
    parts = ["# Teacher statistics", "", *(markdown(sheet) for sheet in sheets(statistics))]
    for name, caption in CAPTIONS.items():
        parts += [f"![{name}]({name}.png)", "", caption, ""]
    return "\n".join(parts)
