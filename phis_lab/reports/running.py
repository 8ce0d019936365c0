"""Runs that have not ended: how far they were when their process spoke last."""

from collections.abc import Sequence
from pathlib import Path

from phis_lab.reports.sheets import MISSING, Cell, Sheet
from phis_lab.runs import RunProgress, read_progress, unfinished_runs
from phis_lab.spoken import FRACTION, spoken

_COLUMNS = ("method", "seed", "step", "loss", "newest evaluation", "images/s", "last heard (UTC)")
_CAPTION = (
    "In no other table, whose runs are complete. A loss compares steps of one method, not methods. "
    "Runs that were interrupted go on by the same command."
)


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
