"""`phis-lab report --html`: a report's page, joined with statistics of teachers, and renewed while it is watched."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from phis_lab.refusals import REFUSALS, sentence
from phis_lab.reports import Report, report
from phis_lab.reports.page import Chapter, Picture, Table, write_page

_STATISTICS = "statistics.json"


def with_page(folder: Path, made: Report, price: float | None = None, renewed_every: int | None = None) -> Report:
    """Writes `report.html`, with a chapter for every folder of `phis-lab stats` below the runs' folder.

    Args:
        folder: of the runs.
        made: the report of it.
        price: of one hour of a machine.
        renewed_every: seconds after which a browser loads the page again; None for a page that stays.

    Returns:
        The report with the page among its files.
    """
    page = write_page(folder, made, price, renewed_every, teacher_statistics(folder))
    return replace(made, files=(*made.files, page))


def watch_page(
    folder: Path, baseline: str | None, price: float | None, seconds: int, say: Callable[[str], object]
) -> None:
    """Renews `report.html` every so many seconds until Ctrl-C, and leaves one that a browser does not load again.

    What goes wrong in between, such as a record that appears and cannot be compared, is said, and the page stays.
    """
    renewed_every: int | None = seconds
    while True:
        try:
            time.sleep(seconds)
        except KeyboardInterrupt:
            renewed_every = None
        try:
            with_page(folder, report(folder, baseline, []), price, renewed_every)
        except KeyboardInterrupt:
            renewed_every = None
            with_page(folder, report(folder, baseline, []), price)
        except REFUSALS as error:
            say(f"The page was not renewed: {sentence(error)}")
        if renewed_every is None:
            return


def teacher_statistics(folder: Path) -> list[Chapter]:
    """What `phis-lab stats` wrote below a folder: its tables, spectra, activations and norms."""
    places = sorted(path.parent for path in folder.rglob(_STATISTICS) if path.is_file())
    if not places:
        return []
    from phis_lab.survey.plots import CAPTIONS, figures  # noqa: PLC0415  torch, which records can do without
    from phis_lab.survey.statistics import read_statistics  # noqa: PLC0415
    from phis_lab.survey.topics import sheets  # noqa: PLC0415

    chapters = []
    for place in places:
        title = f"Statistics of the teachers: {place.relative_to(folder).as_posix()}"
        try:
            found = read_statistics(place)
        except (ValueError, OSError) as error:
            chapters.append(Chapter(title, caveats=[sentence(error)]))
            continue
        pictures = [Picture(name.capitalize(), figure, CAPTIONS[name]) for name, figure in figures(found).items()]
        chapters.append(Chapter(title, tables=[Table(sheet) for sheet in sheets(found)], pictures=pictures))
    return chapters
