"""The runs behind a study's tables: how each was made, what tells them apart, what they cost, how to make one again."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from phis_lab.reports.provenance import machine
from phis_lab.reports.sheets import MISSING, Cell, Sheet
from phis_lab.runs import RunRecord

_KEPT_FLAGS = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--trust")
_SEED = "seed"
_DIGITS = 12
_RUNS = "A run shares the time and the teachers' pass with the other arms of its process."
_COMMAND = "Where a sweep trained several runs at once, each command makes one of them alone, to the same numbers."


@dataclass(frozen=True)
class Option:
    """A choice or an override, with its value in every run; None where a run does not set it."""

    name: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the runs do not have it in common."""
        return len(set(self.values)) > 1


def options(records: Sequence[RunRecord]) -> list[Option]:
    """Every choice and override of some runs but the seed, which the table of runs shows; in their order."""
    each = [_options(record) for record in records]
    names = dict.fromkeys(name for found in each for name in found if name != _SEED)
    return [Option(name, tuple(found.get(name) for found in each)) for name in names]


def differing_sheet(records: Sequence[RunRecord], found: Sequence[Option]) -> Sheet | None:
    """A row for every method with its value of each option that differs; None where they differ in none."""
    differing = [option for option in found if option.differs]
    if not differing:
        return None
    rows = []
    for method in dict.fromkeys(record.method for record in records):
        places = [place for place, record in enumerate(records) if record.method == method]
        rows.append((Cell(method), *(Cell(_joined(option.values[place] for place in places)) for option in differing)))
    caption = "All other options are the same in all runs. A dash: left as it is by default."
    return Sheet("Options that differ", caption, ("method", *(option.name for option in differing)), tuple(rows))


def runs_sheet(records: Sequence[RunRecord]) -> Sheet:
    """A row for every run, with its speed and its origin; columns of its origin in which runs differ are marked."""
    rows = [
        (
            Cell(record.method),
            Cell(str(record.seed)),
            Cell(f"{record.steps:,}"),
            Cell(f"{record.images_per_s:,.0f}"),
            Cell(f"{_hours(record):.3g}"),
            Cell(record.commit[:_DIGITS]),
            Cell(machine(record)),
            Cell(record.versions.get("torch", MISSING)),
            Cell(record.config_sha256[:8]),
        )
        for record in records
    ]
    names = ["method", "seed", "steps", "images/s", "hours", "commit", "machine", "torch", "configuration"]
    for place in (5, 6, 7):
        if len({row[place].text for row in rows}) > 1:
            names[place] += " (differs)"
    return Sheet("Runs", _RUNS, tuple(names), tuple(rows))


def commands_sheet(records: Sequence[RunRecord]) -> Sheet:
    """The command that makes each run alone, and the one that was typed."""
    rows = tuple((Cell(r.method), Cell(str(r.seed)), Cell(alone(r)), Cell(r.command)) for r in records)
    return Sheet("Commands", _COMMAND, ("method", "seed", "this run alone", "as typed"), rows)


def teachers_sheet(record: RunRecord) -> Sheet | None:
    """A row for every teacher with what identifies its features; None for a run without any."""
    names = list(dict.fromkeys(name for facts in record.teachers.values() for name in facts))
    rows = tuple(
        (Cell(teacher), *(Cell(_identity(name, facts.get(name))) for name in names))
        for teacher, facts in record.teachers.items()
    )
    caption = "What identifies a teacher's features; of a digest the first digits."
    columns = ("teacher", *(name.replace("_", " ") for name in names))
    return Sheet("Teachers", caption, columns, rows) if rows else None


def failed_sheet(records: Iterable[RunRecord]) -> Sheet | None:
    """A row for every run that failed; None where none did."""
    rows = tuple(
        (
            Cell(record.method),
            Cell(str(record.seed)),
            Cell(record.name),
            Cell(f"{record.steps:,}"),
            Cell(record.failure or MISSING),
            Cell(alone(record)),
        )
        for record in records
        if record.status == "failed"
    )
    caption = "In no other table. Remove its result.json to have the same command train such a run again."
    names = ("method", "seed", "study", "steps", "reason", "this run alone")
    return Sheet("Failed runs", caption, names, rows) if rows else None


def cost(records: Sequence[RunRecord], price: float | None = None) -> str:
    """How fast the runs were and how long a machine was busy with them; with a price of its hour, what that is.

    Arms of one process take its time together, so each counts for its share.
    """
    speeds = sorted(record.images_per_s for record in records)
    speed = " to ".join(dict.fromkeys(f"{speed:,.0f}" for speed in (speeds[0], speeds[-1])))
    hours = sum(_hours(record) / _sharing(record) for record in records)
    money = "" if price is None else f", which is {hours * price:,.2f} at {price:g} for an hour"
    runs = "1 run" if len(records) == 1 else f"{len(records)} runs"
    return f"{speed} images/s; {hours:.3g} h of a machine for {runs}{money}"


def alone(record: RunRecord) -> str:
    """The command of one run: its program, the folders of options that it was given, and its overrides."""
    try:
        words = shlex.split(record.command)
    except ValueError:
        return record.command
    program = words[:2] if words[:2] == ["python", "-m"] else []
    program += takewhile(lambda word: not word.startswith("-") and "=" not in word, words[len(program) :])
    return shlex.join([*program, *_flags(words[len(program) :]), *record.overrides])


def _flags(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    for place, word in enumerate(words):
        if word in _KEPT_FLAGS:
            kept += words[place : place + 2]
        elif word.partition("=")[0] in _KEPT_FLAGS:
            kept.append(word)
    return kept


def _options(record: RunRecord) -> dict[str, str]:
    set_by_name = dict(override.lstrip("+~").partition("=")[::2] for override in record.overrides)
    return record.choices | {name: value for name, value in set_by_name.items() if name not in record.choices}


def _identity(name: str, fact: str | int | None) -> str:
    if fact is None:
        return MISSING
    return str(fact)[:_DIGITS] if name.endswith("sha256") else str(fact)


def _joined(values: Iterable[str | None]) -> str:
    return " or ".join(dict.fromkeys(MISSING if value is None else value for value in values))


def _sharing(record: RunRecord) -> int:
    """How many arms took the time of this run's process together."""
    arms = record.device.get("arms")
    return max(1, arms) if isinstance(arms, int) else 1


def _hours(record: RunRecord) -> float:
    return record.wall_time_s / 3600
