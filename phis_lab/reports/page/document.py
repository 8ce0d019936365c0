"""`report.html`: chapters as one page that needs nothing beside itself and trusts nothing that it shows."""

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from phis_lab import __version__
from phis_lab.reports.page.contents import Chapter, Picture, chapters
from phis_lab.reports.page.svg import inline_svg
from phis_lab.reports.render import Report
from phis_lab.reports.sheets import Cell
from phis_lab.visible import visible
from phis_lab.whole_files import write_text

PAGE = "report.html"
_NUMBER = re.compile(r"[+\-−]?[\d.][\d,.]*(e[+-]?\d+)?(±\S+| to \S+| of [\d,]+)?|nan(±nan)?|[+-]?inf(±nan)?|–|never")
_LONG = 60


def write_page(
    folder: str | Path,
    report: Report,
    price: float | None = None,
    renewed_every: int | None = None,
    further: Sequence[Chapter] = (),
) -> Path:
    """Writes `report.html` into a folder, whole or not at all.

    Args:
        folder: of the runs.
        report: what was found in it.
        price: of one hour of a machine, in the reader's currency; without it there are hours alone.
        renewed_every: seconds after which a browser loads the page again; None for a page that stays.
        further: chapters that follow those of the report.
    """
    root = Path(folder)
    return write_text(root / PAGE, rendered(root, report, [*chapters(root, report, price), *further], renewed_every))


def rendered(root: Path, report: Report, shown: Sequence[Chapter], renewed_every: int | None = None) -> str:
    """The page as HTML."""
    script = _file("page.js")
    names = list(dict.fromkeys(record.name for record in report.records.values()))
    context = {
        "title": f"Report: {', '.join(names) or root.resolve().name}",
        "summary": _summary(report),
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "version": __version__,
        "folder": str(root),
        "remarks": report.remarks,
        "chapters": shown,
        "renewed_every": renewed_every,
        "style": Markup(_file("page.css")),
        "script": Markup(script),
        "script_digest": f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    }
    environment = Environment(
        loader=FunctionLoader(_file),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"draw": _draw, "kind": _kind, "heading_kind": _heading_kind}
    return environment.get_template("page.html.j2").render(context)


def _file(name: str) -> str:
    return files("phis_lab.reports.page").joinpath(name).read_text(encoding="utf-8")


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _draw(picture: Picture, part: int, place: int) -> Markup:
    alternative = f"{picture.title}. {picture.caption} The numbers are in the tables."
    return inline_svg(picture.figure, f"figure{part}-{place}", alternative, picture.hints)


def _kind(text: str) -> Markup:
    """The class of a cell: numbers stand to the right, and long texts are wrapped."""
    if _NUMBER.fullmatch(text):
        return Markup(' class="number"')
    return Markup(' class="long"') if len(text) > _LONG else Markup("")


def _heading_kind(rows: Sequence[Sequence[Cell]], column: int) -> Markup:
    """The class of a heading: as the cells below it, where they are numbers."""
    return Markup(' class="number"') if all(_NUMBER.fullmatch(row[column].text) for row in rows) else Markup("")


def _summary(report: Report) -> str:
    """How many runs there are, and how they stand."""
    states = [record.status for record in report.records.values()]
    unfinished = 0 if report.unfinished is None else len(report.unfinished.rows)
    counts = {"complete": states.count("complete"), "failed": states.count("failed"), "not ended": unfinished}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    baseline = next((section.baseline for section in report.sections if section.baseline is not None), None)
    compared = "" if baseline is None else f" Methods are compared with {baseline}."
    return f"Runs: {told or 'none'}.{compared}"
