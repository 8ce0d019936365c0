"""What a page shows of a report: facts, tables and figures, in chapters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from phis_lab.reports import downstream
from phis_lab.reports.across import Across
from phis_lab.reports.figures import CAPTIONS, error_curves
from phis_lab.reports.page.images import CAPTION as IMAGES_CAPTION
from phis_lab.reports.page.images import images_of
from phis_lab.reports.page.runs import (
    Option,
    commands_sheet,
    cost,
    differing_sheet,
    failed_sheet,
    options,
    runs_sheet,
    teachers_sheet,
)
from phis_lab.reports.page.training_log import training_errors
from phis_lab.reports.provenance import caveats, origin
from phis_lab.reports.render import Report
from phis_lab.reports.sections import Section
from phis_lab.reports.sheets import FLOOR, MISSING, Cell, Sheet, value_sheet
from phis_lab.reports.studies import Study
from phis_lab.reports.style import looks
from phis_lab.reports.tables import teacher_metric
from phis_lab.runs import read_progress, unfinished_runs
from phis_lab.runs.lock import owner_of

_TITLES = {
    "values": "Methods side by side, for every metric",
    "losses": "Error of each teacher during training",
    "differences": "Differences to the baseline",
    "critical_difference": "Which methods the average ranks tell apart",
}
_MOST_METHODS = 12
_LOGGED = "Mean squared error in the teacher's own space, of the batches of training; mean and range over seeds."
_OWN = "A row in brackets is no method: what a student that knows nothing reaches, or a teacher by its own features."


@dataclass(frozen=True)
class Table:
    """A sheet on a page.

    Attributes:
        sheet: whose rows a reader can sort.
        foot: rows that stay below them: floors, teachers.
    """

    sheet: Sheet
    foot: tuple[tuple[Cell, ...], ...] = ()

    @property
    def body(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows that can be sorted: all but the floors, which a sheet has last."""
        rows = self.sheet.rows
        return rows[:-1] if rows and rows[-1][0].text == FLOOR else rows

    @property
    def below(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows that stay below."""
        return (*self.sheet.rows[len(self.body) :], *self.foot)


@dataclass(frozen=True)
class Picture:
    """A figure on a page, and by the gids of its artists what a reader sees while pointing at them."""

    title: str
    figure: Figure
    caption: str
    hints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chapter:
    """A heading and what stands below it, in this order; `details` are folded.

    Attributes:
        title: the heading.
        facts: by what they are called.
        caveats: what to beware of.
        options: what the runs chose.
        tables: of numbers.
        pictures: drawn from them.
        details: tables for those who look closer.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    caveats: Sequence[str] = ()
    options: Sequence[Option] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    details: Sequence[Table] = ()


def chapters(root: Path, report: Report, price: float | None = None) -> list[Chapter]:
    """One chapter for what has not ended or failed, if anything, one for every study, and those over several data sets.

    Args:
        root: the folder of the report, by which the runs' folders are named.
        report: of it.
        price: of one hour of a machine.
    """
    made = [of_study(root, section, price) for section in report.sections]
    return [*_under_way(root, report), *made, *map(of_data_sets, report.across)]


def of_study(root: Path, section: Section, price: float | None = None) -> Chapter:
    """Everything about one study."""
    study = section.study
    chosen = options(study.records)
    differing = differing_sheet(study.records, chosen)
    methods, *others = section.sheets()
    folders = [root / folder if folder is not None else None for folder in study.folders]
    return Chapter(
        title=study.title,
        facts=origin(study) | {"cost": cost(study.records, price)},
        caveats=caveats(study),
        options=chosen,
        tables=[_methods(section, methods), *map(Table, others), *([] if differing is None else [Table(differing)])],
        pictures=_pictures(section, folders),
        details=[Table(sheet) for sheet in (*section.details(), *_origins(study)) if sheet is not None],
    )


def of_data_sets(across: Across) -> Chapter:
    """What was ranked over several data sets."""
    picture = Picture(_TITLES["critical_difference"], across.figure(), across.sheet.caption)
    return Chapter(title=across.title, tables=[Table(across.sheet)], pictures=[picture])


def _origins(study: Study) -> tuple[Sheet | None, ...]:
    return teachers_sheet(study.records[0]), runs_sheet(study.records), commands_sheet(study.records)


def _under_way(root: Path, report: Report) -> list[Chapter]:
    failed, unfinished = failed_sheet(report.records.values()), unfinished_runs(root)
    told = None if report.unfinished is None else _with_states(report.unfinished, unfinished)
    sheets = [sheet for sheet in (told, failed) if sheet is not None]
    if not sheets:
        return []
    running = [(run, read_progress(run)) for run in unfinished]
    logged = training_errors([(told.method, told.seed, run) for run, told in running if told is not None])
    return [Chapter("Not ended, or failed", tables=[*map(Table, sheets)], pictures=_logged_curves(logged))]


def _with_states(unfinished: Sheet, runs: Sequence[Path]) -> Sheet:
    """The table of unfinished runs, with who is at work on each."""
    if len(runs) != len(unfinished.rows):  # one of them ended or began in this moment
        return unfinished
    owners = [owner_of(run) for run in runs]
    states = [Cell("stopped" if owner is None else f"running: {owner}") for owner in owners]
    rows = tuple((*row, state) for row, state in zip(unfinished.rows, states, strict=True))
    return replace(unfinished, columns=(*unfinished.columns, "state"), rows=rows)


def _methods(section: Section, methods: Sheet) -> Table:
    """The main table with the paper's ranks beside ours, and the teachers' own scores below."""
    published, foot = section.published, _teachers_own(section)
    columns, rows = methods.columns, methods.rows
    if published is not None:
        theirs = {row[0].text: row[3] for row in published.rows}
        columns = (*columns, published.columns[3])
        rows = tuple((*row, theirs.get(row[0].text, Cell(MISSING))) for row in rows)
        foot = tuple((*row, Cell(MISSING)) for row in foot)
    caption = f"{methods.caption} {_OWN}" if len(Table(methods, foot).below) else methods.caption
    return Table(Sheet(methods.title, caption, columns, rows, methods.seeds), foot)


def _teachers_own(section: Section) -> tuple[tuple[Cell, ...], ...]:
    """A row for every teacher of which `<task>/.../<teacher>/<score>` is recorded beside the student's score."""
    shown, rows = {column.metric for column in section.headline}, []
    for metric, of_metric in section.numbers.groupby("metric", sort=False)["value"]:
        words = str(metric).split("/")
        for teacher in set(section.study.teachers) & set(words[1:-1]):
            score = "/".join(word for word in words if word != teacher)
            rows += [(f"({teacher} itself)", 0, score, of_metric.mean())] if score in shown else []
    numbers = pd.DataFrame(rows, columns=["method", "seed", "metric", "value"])
    if numbers.empty:
        return ()
    ranks = None if section.ranks is None else pd.Series(float("nan"), numbers["method"].unique())
    sheet = value_sheet("", "", numbers, section.headline, ranks)
    own = [row for row in sheet.rows if row[0].text != FLOOR]
    return tuple(tuple(Cell(MISSING if cell.text == "nan" else cell.text) for cell in row) for row in own)


def _pictures(section: Section, folders: Sequence[Path | None]) -> list[Picture]:
    drawn = section.figures()
    pictures = {name: Picture(_TITLES[name], figure, CAPTIONS[name]) for name, figure in drawn.items()}
    if "losses" not in drawn:
        places = zip(section.study.records, folders, strict=False)
        logged = training_errors([(r.method, r.seed, folder) for r, folder in places if folder is not None])
        pictures |= dict(zip(["losses"], _logged_curves(logged), strict=False))
    return [*pictures.values(), *_against_downstream(section), *_seen(section, folders)]


def _seen(section: Section, folders: Sequence[Path | None]) -> list[Picture]:
    """What the first run of every method that left pictures sees in images."""
    found: dict[str, Picture] = {}
    for record, folder in zip(section.study.records, folders, strict=False):
        if folder is not None and record.method not in found and len(found) < _MOST_METHODS:
            shown = images_of(folder)
            if shown is not None:
                title = f"What {record.method} sees, seed {record.seed}"
                found[record.method] = Picture(title, shown, IMAGES_CAPTION)
    return list(found.values())


def _logged_curves(logged: pd.DataFrame) -> list[Picture]:
    if logged.empty:
        return []
    look = looks(list(dict.fromkeys(logged["method"])))
    figure, _ = error_curves(logged, look, "MSE (log)")
    return [Picture(_TITLES["losses"], figure, _LOGGED)]


def _against_downstream(section: Section) -> list[Picture]:
    records = section.study.records
    fidelities = {teacher_metric(record, name, "fidelity") for record in records for name in record.teacher_metrics}
    shown = [column for column in section.headline if column.judged and column.metric not in fidelities]
    points = downstream.fidelity_and_downstream(section.numbers, sorted(fidelities), shown)
    shown = [column for column in shown if column.metric in set(points["metric"])]
    if not shown or not fidelities:
        return []
    hints = {
        f"run{place}": f"{row['method']}, seed {row['seed']}: {row['value']:.4g} at fidelity {row['fidelity']:.4g}"
        for place, row in points.iterrows()
    }
    figure = downstream.downstream_figure(points, shown, looks(section.methods))
    return [Picture("Fidelity against what is reached downstream", figure, downstream.CAPTION, hints)]
