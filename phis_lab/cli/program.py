"""The program, and the options that several of its commands have."""

from pathlib import Path
from typing import Annotated, Any

import typer

from phis_lab.cores import share_cores

app = typer.Typer(
    help="Train and compare label-free multi-teacher distillation runs.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)


def _show_version(asked: bool) -> bool:
    if asked:
        from phis_lab import __version__  # noqa: PLC0415  slow

        typer.echo(f"phis-lab {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Holds the option that belongs to no command, and what all commands begin with."""
    share_cores()


def overrides_offered(incomplete: str) -> list[str]:
    """What a shell offers for an override."""
    from phis_lab.commands.completion import overrides  # noqa: PLC0415  Hydra

    return overrides(incomplete)


def overrides_as(about: str) -> Any:
    """The argument in which overrides of a configuration are typed.

    Args:
        about: which ones, for --help.
    """
    return typer.Argument(help=about, metavar="OVERRIDE...", autocompletion=overrides_offered, show_default=False)


ConfigDir = Annotated[
    Path | None,
    typer.Option(
        "--config-dir", "-cd", help="Folder of own configurations, with groups like teachers/.", show_default=False
    ),
]


AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output, and everything else on standard error."),
]


Trusted = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="MODULE",
        help="Module of own parts that the run may load, and run; repeat for several. What phis_lab ships needs none.",
        show_default=False,
    ),
]
