"""Commands that train, and those that gather beforehand what runs read."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from phis_lab.cli.program import AsJson, ConfigDir, app, overrides_as, overrides_offered
from phis_lab.refusals import INTERRUPTED
from phis_lab.terminal import at_work, print_json, print_lines, print_whole


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
    options_metavar="",
)
def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="As for run.py; --help lists the choices.",
            metavar="[GROUP=OPTION | NAME=VALUE | -m | --help]...",
            autocompletion=overrides_offered,
        ),
    ] = None,
) -> None:
    """Train one run, or with -m a sweep, from any folder: the same as `python run.py` in a checkout.

    `phis-lab train -m normalizer=identity,phis seed=0,1,2`
    """
    from phis_lab.commands.train import main as enter  # noqa: PLC0415  Hydra, which the other commands' --help can do without

    enter(arguments or [], command="train")


@app.command(no_args_is_help=True)
def cache(
    overrides: Annotated[
        list[str],
        overrides_as(
            "As for run.py: `teachers.store=PATH`, which is needed, and whatever else differs from the defaults."
        ),
    ],
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the teacher features of fixed views, for runs to read: all training views, and the test images.

    The student and the evaluation count too: features are kept on the student's grid, for as many test images as
    the evaluation matches. Ctrl-C stops; the same command goes on, and does nothing once all is there.

    `phis-lab cache teachers=pocket_set data=fashion_mnist augmentation.views=2 teachers.store=features`
    """
    with at_work(as_json):
        from phis_lab.commands.cache import fill_stores  # noqa: PLC0415  torch, which --help can do without

        reports = fill_stores(overrides, config_dir)
    if as_json:
        print_json({"stores": reports})
        return
    table = Table(*("teacher", "images", "grid", "rows", "MB", "dtype", "relative error (squared error / variance)"))
    for made in reports:
        sizes = f"{made.rows:,}", f"{made.bytes / 1e6:,.1f}"
        table.add_row(made.teacher, made.split, made.grid, *sizes, made.dtype, made.errors())
    print_whole(table)
    print_lines(["The feature store is complete."])


@app.command(no_args_is_help=True)
def stats(
    overrides: Annotated[
        list[str],
        overrides_as("As for run.py: `teachers=... data=...`, and whatever else differs from the defaults."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("statistics"),
    images: Annotated[
        int | None, typer.Option(min=1, help="Training images, at most.", show_default="all of them")
    ] = None,
    own_grid: Annotated[
        bool, typer.Option("--own-grid", help="Count tokens on each teacher's own grid, not on the student's.")
    ] = False,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Statistics of the teachers' spatial features: moments for runs to read, and the tables of PHI-S.

    One pass over the training images, each in its first view, as the first epoch of a run renders them. Tokens are
    counted on the student's grid, as a run matches them; the paper's tables are of the teachers' own (--own-grid).
    A folder keeps the statistics of several teachers, image sizes and grids. Ctrl-C stops, and writes nothing.

    `phis-lab stats teachers=pocket_set data=fashion_mnist --out statistics`, and then
    `python run.py estimation=offline estimation.moments=statistics`
    """
    with at_work(as_json):
        from phis_lab import reports  # noqa: PLC0415  torch and matplotlib, which --help can do without
        from phis_lab.survey import survey  # noqa: PLC0415

        try:
            made = survey(overrides, out, images, own_grid, config_dir)
        except KeyboardInterrupt:
            Console(stderr=True).print("Stopped: nothing was written.", style="yellow")
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json({"sheets": made.sheets, "remarks": made.remarks, "files": made.files})
        return
    for sheet in made.sheets:
        print_whole(reports.terminal(sheet))
    print_lines(made.remarks, style="yellow")
    print_lines(made.files)
