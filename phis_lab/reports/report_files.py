"""The files of a report, written beside the runs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from phis_lab.reports.across import Across
from phis_lab.reports.figures import CAPTIONS
from phis_lab.reports.markup import escape_csv, escape_markdown, latex, markdown
from phis_lab.reports.provenance import caveats, provenance
from phis_lab.reports.sections import Section
from phis_lab.reports.sheets import Sheet
from phis_lab.reports.tables import leading, summary
from phis_lab.whole_files import write_text, write_whole

Format = Literal["md", "tex", "csv", "png"]
ALL_FORMATS: tuple[Format, ...] = ("md", "tex", "csv", "png")


def write_files(
    root: Path,
    unfinished: Sheet | None,
    sections: Sequence[Section],
    across: Sequence[Across],
    remarks: Sequence[str],
    formats: Collection[Format],
) -> list[Path]:
    """Writes the chosen kinds of files and returns their paths; Markdown shows figures that are written."""
    figures: list[dict[str, Path]] = [{} for _ in (*sections, *across)]
    if "png" in formats:
        prefixes = [f"study{n}_" if len(sections) > 1 else "" for n in range(1, len(sections) + 1)]
        figures = [_write_figures(root, s.figures(), prefix) for s, prefix in zip(sections, prefixes, strict=True)]
        over = [f"across{n}_" if len(across) > 1 else "across_" for n in range(1, len(across) + 1)]
        figures += [
            _write_figures(root, {"critical_difference": a.figure()}, prefix)
            for a, prefix in zip(across, over, strict=True)
        ]
    contents: dict[str, Callable[[], str]] = {
        "md": lambda: _markdown(root, unfinished, sections, across, remarks, figures),
        "tex": lambda: "\n".join(map(latex, _sheets(sections, across))),
        "csv": lambda: _as_text(_table(sections)).to_csv(index=False, lineterminator="\n"),
    }
    texts = {root / f"report.{suffix}": make() for suffix, make in contents.items() if suffix in formats}
    for path, text in texts.items():
        write_text(path, text)
    return [*texts, *(path for paths in figures for path in paths.values())]


def _sheets(sections: Sequence[Section], across: Sequence[Across]) -> list[Sheet]:
    return [sheet for s in sections for sheet in [*s.sheets(), *s.details()]] + [a.sheet for a in across]


def _write_figures(root: Path, figures: Mapping[str, Figure], prefix: str) -> dict[str, Path]:
    folder = root / "figures"
    folder.mkdir(exist_ok=True)
    paths = {name: folder / f"{prefix}{name}.png" for name in figures}
    for name, figure in figures.items():
        write_whole(paths[name], partial(figure.savefig, format="png"))
    return paths


def _markdown(
    root: Path,
    unfinished: Sheet | None,
    sections: Sequence[Section],
    across: Sequence[Across],
    remarks: Sequence[str],
    figures: Sequence[Mapping[str, Path]],
) -> str:
    parts = ["# Report", ""]
    if remarks:
        parts += [
            "Not in the tables, or not compared:",
            "",
            *(f"- {escape_markdown(remark)}" for remark in remarks),
            "",
        ]
    for section, paths in zip(sections, figures[: len(sections)], strict=True):
        parts += [f"## {escape_markdown(section.study.title)}", "", *provenance(section.study), ""]
        parts += [f"> {escape_markdown(caveat)}\n" for caveat in caveats(section.study)]
        parts += [markdown(sheet) for sheet in section.sheets()]
        for name, path in paths.items():
            parts += [*_picture(root, name, path), CAPTIONS[name], ""]
        parts += [markdown(sheet) for sheet in section.details()]
    for of_several, paths in zip(across, figures[len(sections) :], strict=True):
        parts += [f"## {escape_markdown(of_several.title)}", "", markdown(of_several.sheet)]
        parts += [line for name, path in paths.items() for line in _picture(root, name, path)]
    if unfinished is not None:
        parts += [markdown(unfinished)]
    return "\n".join(parts)


def _picture(root: Path, name: str, path: Path) -> list[str]:
    return [f"![{name}]({path.relative_to(root).as_posix()})", ""]


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with texts that a spreadsheet takes for texts; numbers stay what they are."""
    return frame.map(lambda cell: escape_csv(cell) if isinstance(cell, str) else cell)


def _table(sections: Sequence[Section]) -> pd.DataFrame:
    """Every mean at full precision, with its study, spread, number of seeds, unit, direction and floor.

    `ranked` tells whether methods are compared by the metric, and `leads` whether the seeds leave the method among the
    best.
    """
    frames = []
    for section in sections:
        frame = summary(section.numbers)
        meaning = [section.meaning[name] for name in frame["metric"]]
        frame.insert(0, "study", section.study.title)
        frame["unit"] = [column.unit for column in meaning]
        frame["higher_is_better"] = [column.higher_is_better for column in meaning]
        frame["floor"] = [column.floor for column in meaning]
        ranked = {name for category in section.categories.values() for name in category}
        frame["ranked"] = [name in ranked for name in frame["metric"]]
        best = {name: leading(section.numbers, column) for name, column in section.meaning.items()}
        pairs = zip(frame["method"], frame["metric"], strict=True)
        frame["leads"] = [method in best[metric] for method, metric in pairs]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
