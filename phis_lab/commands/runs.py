"""`phis-lab runs`: the runs below a folder, how two of them differ, and how to be rid of some."""

import difflib
import fnmatch
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from phis_lab.groups import GROUPS
from phis_lab.refusals import sentence
from phis_lab.runs.job import differences
from phis_lab.runs.listing import (
    ListedRun,
    State,
    as_text,
    config_of,
    list_runs,
    metrics_of,
    option_of,
    options_of_run,
)
from phis_lab.runs.removal import remove_run, why_kept
from phis_lab.spoken import spoken
from phis_lab.terminal import print_lines, print_whole
from phis_lab.visible import in_one_line

_CONDITION = re.compile(r"(?P<key>[\w./@]+)\s*(?P<sign>!=|==?)\s*(?P<value>.*)")
_COLUMNS = ("status", "method", "study", "seed")
MOST_VALUES = 10
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


class Listing(NamedTuple):
    """Runs that were found, and what could not be read."""

    root: Path
    runs: list[ListedRun]
    remarks: list[str]


class Difference(NamedTuple):
    """An option or a metric in which two runs differ; None where one of them has none."""

    name: str
    first: Any
    second: Any


class Comparison(NamedTuple):
    """How two runs differ."""

    runs: tuple[Path, Path]
    options: list[Difference]
    metrics: list[Difference]
    remarks: list[str]


def find(root: Path, where: Sequence[str] = (), states: Sequence[State] = ()) -> Listing:
    """The runs below a folder that meet all conditions.

    Args:
        root: a run, a study or many of them.
        where: `KEY=VALUE` or `KEY!=VALUE`, with a group, a dotted option, or one of status, method, study and seed as
            key; the value may hold `*`, and be several between commas.
        states: those wanted; empty for all.

    Raises:
        ValueError: there is no such folder, or no run has such an option.
    """
    runs, remarks = list_runs(root)
    for condition in where:
        met = _meeting(condition, runs)
        if runs and not met:
            remarks.append(_unmet(condition, runs))
        runs = met
    return Listing(root, [run for run in runs if not states or run.state in states], remarks)


def _meeting(condition: str, runs: list[ListedRun]) -> list[ListedRun]:
    found = _CONDITION.fullmatch(condition.strip())
    if found is None:
        raise ValueError(f"--where {condition!r}: KEY=VALUE or KEY!=VALUE is wanted, as in normalizer=phis")
    key, wanted = found["key"], found["value"].strip()
    values = [option_of(run, key) for run in runs]
    if runs and all(value is None for value in values) and key not in GROUPS:
        known = [*_COLUMNS, *GROUPS, *dict.fromkeys(name for run in runs for name in options_of_run(run))]
        near = difflib.get_close_matches(key, known, n=1)
        guess = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"--where {condition!r}: no run here has an option {key}.{guess}")
    same = [_is(value, wanted) for value in values]
    return [run for run, is_same in zip(runs, same, strict=True) if is_same == (found["sign"] != "!=")]


def _unmet(condition: str, runs: Sequence[ListedRun]) -> str:
    """What the values are of an option by which no run was found."""
    key = re.split(r"\s*!?=", condition.strip())[0]
    values = list(dict.fromkeys(option_of(run, key) or "null" for run in runs))
    more = f" and {len(values) - MOST_VALUES} more" if len(values) > MOST_VALUES else ""
    return f"No run meets {condition}; {key} is {', '.join(values[:MOST_VALUES])}{more}."


def _is(value: str | None, wanted: str) -> bool:
    """Whether an option has a value or one of several between commas: the same number, or a text that fits."""
    value = "null" if value is None else value
    return any(_fits(value, each.strip()) for each in (wanted, *wanted.split(",")))


def _fits(value: str, wanted: str) -> bool:
    try:
        return float(value) == float(wanted)
    except ValueError:
        return fnmatch.fnmatchcase(value, wanted)


def compare(first: Path, second: Path, root: Path) -> Comparison:
    """The options and the metrics in which two runs differ.

    Args:
        first: a run, by its folder or by its path below `root`.
        second: the other.
        root: see `first`.

    Raises:
        ValueError: one of them is no run.
    """
    folders = (_run_at(first, root), _run_at(second, root))
    configs, remarks = [], []
    for folder in folders:
        try:
            configs.append(config_of(folder))
        except (OSError, ValueError) as error:
            remarks.append(f"Options cannot be compared: {sentence(error)}.")
    options = [] if remarks else [_of_options(name, *configs) for name in differences(configs[0], configs[1])]
    measured = [metrics_of(folder) for folder in folders]
    names = list(dict.fromkeys(name for metrics in measured for name in metrics))
    pairs = [Difference(name, measured[0].get(name), measured[1].get(name)) for name in names]
    differ = [pair for pair in pairs if not _agree(pair.first, pair.second)]
    return Comparison(folders, options, differ, remarks)


def _agree(first: float | None, second: float | None) -> bool:
    return first == second or (first is not None and second is not None and math.isnan(first) and math.isnan(second))


def _run_at(run: Path, root: Path) -> Path:
    for folder in (run, root / run):
        if folder.is_dir():
            found, _ = list_runs(folder)
            if [each.folder for each in found] == [folder]:
                return folder
            inside = f"; it holds {len(found)}, such as {found[0].folder}" if found else ""
            raise ValueError(f"--compare {run}: this folder is not one run{inside}")
    raise ValueError(f"--compare {run}: there is no such folder, nor one below {root}")


def _of_options(name: str, first: dict[str, Any], second: dict[str, Any]) -> Difference:
    return Difference(name, _at(first, name), _at(second, name))


def _at(config: Any, name: str) -> Any:
    for word in name.split("."):
        config = config.get(word) if isinstance(config, dict) else None
    return config


def remove(listing: Listing) -> tuple[list[Path], list[str]]:
    """Remove the runs of a list; returns the folders that are gone, and a sentence for every run that is kept."""
    gone, kept = [], []
    for run in listing.runs:
        try:
            remove_run(run, listing.root)
            gone.append(run.folder)
        except (OSError, ValueError) as error:
            kept.append(sentence(error))
    return gone, kept


def removable(listing: Listing) -> list[ListedRun]:
    """Those of a list that can be removed."""
    return [run for run in listing.runs if why_kept(run) is None]


def show(listing: Listing) -> None:
    """Print a list of runs, and what there is to say of single ones."""
    if not listing.runs:
        print_lines([f"There are no such runs in {listing.root}."])
    else:
        print_whole(_table(listing))
    for run in listing.runs:
        name = _name(run.folder, listing.root)
        lines = [f"{name} is in use by {run.owner}."] if run.owner else []
        lines += [f"{name} failed: {run.cause}"] if run.cause else []
        print_lines(lines, style="yellow")
        print_lines(run.damage, style="red")
    print_lines(listing.remarks, style="red")


def _table(listing: Listing) -> Table:
    table = Table("run", "status", "method", "seed", "study", "step", "score", "last written", "size")
    for column in table.columns:
        column.no_wrap = True
    for run in listing.runs:
        steps = "–" if run.step is None else f"{run.step:,}"
        steps += f" of {run.max_steps:,}" if run.max_steps not in (None, run.step) else ""
        score = "–" if run.score is None else f"{run.score.name} {_measured(run.score.value, run.score.unit)}"
        seed = "–" if run.seed is None else str(run.seed)
        cells = _name(run.folder, listing.root), run.state, run.method, seed, run.study, steps, score
        table.add_row(*map(in_one_line, cells), f"{age(run.updated)} ago", size(run.bytes))
    return table


def _name(folder: Path, root: Path) -> str:
    """A run's path below the folder that was asked for, or the folder's own."""
    return str(folder) if folder == root else str(folder.relative_to(root))


def _measured(value: float, unit: str) -> str:
    text = spoken(value, unit)
    return text if not unit or unit.startswith("fraction") else f"{text} {unit}"


def age(then: datetime) -> str:
    """How long ago something was: `3 d`, `5 h`, `12 min`, `40 s`."""
    seconds = max(0.0, (datetime.now(UTC) - then).total_seconds())
    return next((f"{seconds / length:.0f} {unit}" for length, unit in _UNITS if seconds >= length), f"{seconds:.0f} s")


def size(count: int) -> str:
    """Bytes as people read them: `12.3 MB`."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:,.1f} {unit}"
    return f"{count} B"


def show_comparison(comparison: Comparison) -> None:
    """Print how two runs differ."""
    first, second = comparison.runs
    print_lines([f"1: {first}", f"2: {second}", ""])
    if comparison.options:
        table = Table("option", "1", "2")
        for option in comparison.options:
            table.add_row(*map(in_one_line, (option.name, as_text(option.first), as_text(option.second))))
        print_whole(table)
    elif not comparison.remarks:
        print_lines(["All options agree."])
    if comparison.metrics:
        table = Table("metric", "1", "2", "2 - 1")
        for metric in comparison.metrics:
            both = metric.first is not None and metric.second is not None
            change = f"{metric.second - metric.first:+.3g}" if both else "–"
            cells = [metric.name, *("–" if v is None else spoken(v) for v in (metric.first, metric.second)), change]
            table.add_row(*map(in_one_line, cells))
        print_whole(table)
    else:
        print_lines(["No metric differs."])
    print_lines(comparison.remarks, style="yellow")
