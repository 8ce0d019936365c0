"""A folder of runs becomes a report, which also says how far the runs are that have not ended."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phis_lab.reports.across import Across, across_data
from phis_lab.reports.report_files import ALL_FORMATS, Format, write_files
from phis_lab.reports.sections import Section
from phis_lab.reports.sheets import MISSING, Cell, Sheet
from phis_lab.reports.studies import group_studies
from phis_lab.runs import RunProgress, RunRecord, find_records, read_progress, unfinished_runs
from phis_lab.spoken import FRACTION, spoken

_COLUMNS = ("method", "seed", "step", "loss", "newest evaluation", "images/s", "last heard (UTC)")
_CAPTION = (
    "In no other table, whose runs are complete. A loss compares steps of one method, not methods. "
    "Runs that were interrupted go on by the same command."
)
DEFAULT_BASELINE = "identity"


def running_sheet(root: Path) -> Sheet | None:
    """One row for every unfinished run below a folder, or None where all have ended."""
    rows = [_row(run.relative_to(root).as_posix(), read_progress(run)) for run in unfinished_runs(root)]
    return Sheet("Unfinished runs", _CAPTION, _COLUMNS, tuple(rows)) if rows else None


def _row(name: str, run: RunProgress | None) -> tuple[Cell, ...]:
    if run is None:
        return _cells([name, *[MISSING] * (len(_COLUMNS) - 2), "never"])
    told = (f"{name} {spoken(value, run.units.get(name, FRACTION))}" for name, value in run.metrics.items())
    scores = ", ".join(told) or MISSING
    newest = scores if run.scored_at is None else f"{scores} (step {run.scored_at:,})"
    loss = MISSING if run.loss is None else spoken(run.loss)
    step = f"{run.step:,} of {run.max_steps:,}"
    return _cells(
        [run.method, str(run.seed), step, loss, newest, f"{run.images_per_s:,.0f}", f"{run.updated:%Y-%m-%d %H:%M:%S}"]
    )


def _cells(texts: Sequence[str]) -> tuple[Cell, ...]:
    return tuple(map(Cell, texts))


@dataclass(frozen=True)
class Report:
    """What was found in a folder and what was written.

    Args:
        unfinished: how far the runs are that have not ended; None where all have.
        sections: one per study.
        across: studies that differ in their data alone, tested together.
        records: every record that could be read, by the folder of its run.
        remarks: files that are no records, runs that are in no table because they failed or because there are several
            of them, and studies without the baseline.
        files: the files written.
    """

    unfinished: Sheet | None
    sections: tuple[Section, ...]
    across: tuple[Across, ...]
    records: Mapping[Path, RunRecord]
    remarks: tuple[str, ...]
    files: tuple[Path, ...]


def report(folder: str | Path, baseline: str | None = None, formats: Collection[Format] = ALL_FORMATS) -> Report:
    """Writes `report.md`, `.tex`, `.csv` and `figures/*.png` from all `result.json` below a folder, into it.

    Args:
        folder: a run, a sweep, or many of them; runs that cannot be compared go into separate tables.
        baseline: the method that the others are compared with; by default `identity`, where it was run.
        formats: which files to write.

    Raises:
        ValueError: no run below the folder that ended with a metric or is under way, or no method called `baseline` in
            any study.
    """
    root = Path(folder)
    found, unfinished = find_records(root), running_sheet(root)
    remarks = found.unreadable + _left_out(list(found.records.values()))
    measured = {folder: record for folder, record in found.records.items() if _is_measured(record)}
    studies = group_studies(list(measured.values()), [folder.relative_to(root) for folder in measured])
    remarks += [f"{study.title}: {repeat}" for study in studies for repeat in study.repeats]
    studies = [study for study in studies if study.records]
    if not studies and unfinished is None:
        if not root.exists():
            raise ValueError(f"there is no folder {root}: nothing to report")
        raise ValueError("\n".join([f"{root} holds no run with a metric: nothing to report.", *remarks]))
    labels = {record.method for study in studies for record in study.records}
    if baseline is not None and studies and baseline not in labels:
        raise ValueError(f"no method is called {baseline!r} below {root}; there are {sorted(labels)}")
    wanted = baseline or DEFAULT_BASELINE
    sections = []
    for study in studies:
        present = any(record.method == wanted for record in study.records)
        sections.append(Section(study, wanted if present else None))
        if not present:
            remarks.append(f"{study.title}: no method {wanted!r} to compare with (see --baseline)")
    across = across_data(sections)
    files = write_files(root, unfinished, sections, across, remarks, formats)
    return Report(unfinished, tuple(sections), tuple(across), found.records, tuple(remarks), tuple(files))


def _is_measured(record: RunRecord) -> bool:
    return record.status == "complete" and bool(record.metrics or record.teacher_metrics)


def _left_out(records: Sequence[RunRecord]) -> list[str]:
    """One line for every run that ended and is in no table, and why."""
    return [
        f"{record.status}: {record.name}, {record.method}, seed {record.seed}: "
        f"{record.failure or 'no metric was recorded'}"
        for record in records
        if not _is_measured(record)
    ]
