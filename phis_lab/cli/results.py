"""Commands on what runs left: tables, figures, students, and further evaluations."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from phis_lab.cli.program import AsJson, ConfigDir, Trusted, app, overrides_as
from phis_lab.terminal import at_work, cell, print_json, print_lines, print_whole


class Format(StrEnum):
    """A kind of file that a report can be written as."""

    MD = "md"
    TEX = "tex"
    CSV = "csv"
    PNG = "png"


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
    as_json: AsJson = False,
    html: Annotated[
        bool, typer.Option("--html", help="Write report.html too: one page for readers who were not there.")
    ] = False,
    watch: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Write report.html, and again every so many seconds until Ctrl-C.",
            show_default=False,
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(min=0, help="Of one hour of a machine, for report.html to say the cost.", show_default=False),
    ] = None,
) -> None:
    """Tables with spreads and ranks, paired differences and figures, written into FOLDER and shown here."""
    from phis_lab import reports  # noqa: PLC0415  pandas and matplotlib, which --help can do without
    from phis_lab.commands.page import watch_page, with_page  # noqa: PLC0415

    with at_work(as_json, logged=False):
        if price is not None and not (html or watch):
            raise ValueError(f"--price {price:g} is said in report.html alone: add --html")
        if watch and as_json:
            raise ValueError(f"--watch {watch} never ends and --json prints one document: leave one of them out")
        made = reports.report(folder, baseline, [kind.value for kind in formats])
        if html or watch:
            made = with_page(folder, made, price, watch)
    if as_json:
        from phis_lab.commands.report import document  # noqa: PLC0415

        print_json(document(made))
        return
    for section in made.sections:
        print_lines([section.study.title, ""], style="bold")
        for sheet in section.sheets():
            print_whole(reports.terminal(sheet))
        for caveat in reports.caveats(section.study):
            print_lines([caveat], style="yellow")
    for of_several in made.across:
        print_lines([of_several.title, ""], style="bold")
        print_whole(reports.terminal(of_several.sheet))
    if made.unfinished is not None:
        print_whole(reports.terminal(made.unfinished))
    print_lines(made.remarks, style="yellow")
    print_lines(made.files)
    if watch:
        print_lines([f"The page is renewed every {watch} seconds; Ctrl-C ends this."])
        watch_page(folder, baseline, price, watch, lambda text: print_lines([text], style="yellow"))


@app.command()
def dashboard(
    study: Annotated[Path, typer.Argument(help="A sweep, a study, or many of them.", show_default=False)],
    project: Annotated[
        str | None, typer.Option(help="Project in W&B.", show_default="the one that the runs were logged to")
    ] = None,
    entity: Annotated[
        str | None,
        typer.Option(help="User or team in W&B.", show_default="the one that the runs were logged to, or your own"),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only tell what would be made, with a key too.")] = False,
    as_json: AsJson = False,
) -> None:
    """A W&B workspace and a report of a study's methods; without a key of W&B, what they would show.

    Loss per teacher in its own space, fidelity by method, probes, cost and system, from names that its runs logged.
    With `--json` the specifications that W&B would be given.
    """
    with at_work(as_json):
        from phis_lab.commands import dashboard as boards  # noqa: PLC0415  slow

        made = boards.dashboard_of(study, project, entity)
        addresses = {} if show or boards.why_offline() else boards.save(made)
        specification = boards.specification(made) if as_json else {}
    if as_json:
        print_json({**made._asdict(), "addresses": addresses, **specification})
        return
    print_lines([f"{made.title}, in project {made.project} of {made.entity or 'your own account'}"], style="bold")
    table = Table("section", "panel", "title", "metrics")
    for row in boards.rows(made.sections):
        table.add_row(*map(cell, row))
    print_whole(table)
    print_lines(f"{name}: {address}" for name, address in addresses.items())
    if not addresses:
        print_lines([f"Nothing was made in W&B{'' if show else ': ' + boards.why_offline()}."])


class Picture(StrEnum):
    """A kind of file that a figure can be written as."""

    PNG = "png"
    SVG = "svg"


@app.command()
def figures(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="A run, a sweep, or many of them. Without it: figures 4 to 8, which need no run.",
            metavar="[RUN_OR_SWEEP]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write.", show_default="RUN_OR_SWEEP/figures, or figures")
    ] = None,
    formats: Annotated[list[Picture], typer.Option("--format", help="File to write; repeat for several.")] = tuple(
        Picture
    ),  # type: ignore[assignment]  # ruff wants it immutable, typer a list
    images: Annotated[int, typer.Option(min=2, help="Test images for figures 1, 2 and 9, at most.")] = 1000,
    trust: Trusted = None,
    as_json: AsJson = False,
) -> None:
    """The figures of the PHI-S paper, anew: all that can be drawn, and what could not be, with the reason.

    1 teachers' spaces, 2 activations and 9 losses load the teachers and the trained students again, 3 is the error
    during training; 4 to 8 show the methods on Gaussians in the plane.
    """
    with at_work(as_json):
        from phis_lab.figures import draw  # noqa: PLC0415  torch and matplotlib, which --help can do without

        target = out or (Path("figures") if folder is None else folder / "figures")
        drawn = draw(folder, target, [kind.value for kind in formats], images, trust or ())
    if as_json:
        print_json({"files": drawn.files, "left_out": drawn.left_out})
        return
    print_lines(drawn.left_out, style="yellow")
    print_lines(drawn.files)


@app.command(no_args_is_help=True)
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", metavar="RUN", show_default=False)],
    overrides: Annotated[
        list[str],
        overrides_as("As for run.py: `evaluation=...`, `task=...`."),
    ],
    config_dir: ConfigDir = None,
    trust: Trusted = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a finished run otherwise than it was, and add the numbers to its record and so to its reports.

    `phis-lab evaluate outputs/runs/phis-.../seed0 task=[ood,transfer]`
    """
    with at_work(as_json):
        from phis_lab.commands.evaluate import evaluate_run  # noqa: PLC0415  torch, which --help can do without
        from phis_lab.spoken import spoken  # noqa: PLC0415

        record = evaluate_run(run, overrides, config_dir, trust or ())
    if as_json:
        print_json({"run": run, "method": record.method, "seed": record.seed, "metrics": record.metrics})
        return
    table = Table("metric", "value", "unit")
    for name, metric in record.metrics.items():
        table.add_row(name, spoken(metric.value), metric.unit)
    print_whole(table)
