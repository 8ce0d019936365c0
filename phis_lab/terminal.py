"""How commands answer: for people in tables and lines, or with `--json` in one document. Import-light."""

import dataclasses
import json
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import datetime
from enum import Enum
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from phis_lab.refusals import told
from phis_lab.visible import VisibleFormatter, visible


@contextmanager
def at_work(as_json: bool = False, logged: bool = True) -> Iterator[None]:
    """What a command does before it answers: a refusal is told in a sentence, and what the package logs is shown.

    Args:
        as_json: whether standard output is for a document alone, so that everything else goes to standard error.
        logged: whether the log is shown.
    """
    with told(), ExitStack() as stack:
        if as_json:
            stack.enter_context(redirect_stdout(sys.stderr))
        if logged:
            stack.enter_context(_log_shown())
        yield


@contextmanager
def _log_shown() -> Iterator[None]:
    log, handler = logging.getLogger("phis_lab"), logging.StreamHandler(sys.stdout)
    handler.setFormatter(VisibleFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    before = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def print_json(document: object) -> None:
    """Print one document of strict JSON on standard output; NaN and infinities are strings, as in records."""
    with told():
        print(json.dumps(as_plain(document), indent=2, allow_nan=False), flush=True)  # noqa: T201


def as_plain(value: Any) -> Any:
    """What JSON can hold of a value: of records and dataclasses their fields, of anything unknown its text."""
    if (fields := _fields(value)) is not None:
        return {str(key): as_plain(child) for key, child in fields.items()}
    if isinstance(value, Enum | datetime):
        return value.value if isinstance(value, Enum) else value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "item"):  # of numpy
        return as_plain(value.item())
    return [as_plain(child) for child in value] if isinstance(value, Iterable) else str(value)


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """What a value holds by name; None where it holds nothing so."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return dict(value.model_dump())
    if hasattr(value, "_asdict"):
        return dict(value._asdict())
    return value if isinstance(value, Mapping) else None


class Terminal(Console):
    """A console that prints texts as they are: no brackets or colons in them mean anything, and no code is sent on.

    Args:
        options: of rich's console.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: D102
        return super().render_str(visible(text), **options)


def print_lines(lines: Iterable[object], style: str | None = None) -> None:
    """Print lines as they are, whatever brackets are in them, and without breaking paths."""
    console = Terminal()
    for line in lines:
        console.print(str(line), style=style, soft_wrap=True)


def cell(text: str) -> str:
    """A text for rich's markup, in which brackets and what a terminal would obey are read as they are."""
    return escape(visible(text))


def print_whole(table: Table) -> None:
    """Print a table in its full width, even into a pipe: numbers are never cut off."""
    console = Terminal()
    needed = Measurement.get(console, console.options.update(width=10_000), table).maximum
    Terminal(width=max(needed, console.width)).print(table, "")
