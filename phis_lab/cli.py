"""`phis-lab`: what one does with runs after they ended. Each command imports what it needs when called."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

app = typer.Typer(
    help="Compare label-free multi-teacher distillation runs. Training itself is `python run.py`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    add_completion=False,
)


class Format(StrEnum):
    """A kind of file that a report can be written as."""

    MD = "md"
    TEX = "tex"
    CSV = "csv"
    PNG = "png"


@app.callback()
def main() -> None:
    """Keeps `report` a command of its own, however many commands there are."""


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run, a sweep, or many of them.", show_default=False)],
    baseline: Annotated[
        str | None,
        typer.Option(help="Method to compare with.", show_default="identity, where it was run"),
    ] = None,
    formats: Annotated[list[Format], typer.Option("--format", help="File to write; repeat for several.")] = tuple(
        Format
    ),  # type: ignore[assignment]  # ruff wants it immutable, typer a list
) -> None:
    """Tables with spreads and ranks, paired differences and figures, written into FOLDER and shown here."""
    from phis_lab import reports  # noqa: PLC0415  pandas and matplotlib, which --help can do without

    try:
        made = reports.report(folder, baseline, [kind.value for kind in formats])
    except ValueError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    console = Console(highlight=False)
    for section in made.sections:
        console.print(section.study.title, "", style="bold", markup=False, sep="\n", soft_wrap=True)
        for sheet in section.sheets():
            _print_whole(console, reports.terminal(sheet))
        for caveat in reports.caveats(section.study):
            console.print(caveat, style="yellow", markup=False)
    for remark in made.remarks:
        console.print(remark, style="yellow", markup=False)
    for path in made.files:
        console.print(str(path), markup=False, soft_wrap=True)


def _print_whole(console: Console, table: Table) -> None:
    """Prints a table in its full width, even into a pipe: numbers are never cut off."""
    needed = Measurement.get(console, console.options.update(width=10_000), table).maximum
    Console(width=max(needed, console.width), highlight=False).print(table, "")
