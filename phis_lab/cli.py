"""`phis-lab`: what one does before runs and after they ended. Each command imports what it needs when called."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from phis_lab.cores import share_cores
from phis_lab.refusals import INTERRUPTED
from phis_lab.terminal import at_work, print_json, print_lines, print_whole

app = typer.Typer(
    help="Train and compare label-free multi-teacher distillation runs.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)


class Format(StrEnum):
    """A kind of file that a report can be written as."""

    MD = "md"
    TEX = "tex"
    CSV = "csv"
    PNG = "png"


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


def _overrides_offered(incomplete: str) -> list[str]:
    from phis_lab.commands.completion import overrides  # noqa: PLC0415  Hydra

    return overrides(incomplete)


def _choices_offered(incomplete: str) -> list[str]:
    from phis_lab.commands.completion import choices  # noqa: PLC0415  OmegaConf

    return choices(incomplete)


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
            autocompletion=_overrides_offered,
        ),
    ] = None,
) -> None:
    """Train one run, or with -m a sweep, from any folder: the same as `python run.py` in a checkout.

    `phis-lab train -m normalizer=identity,phis seed=0,1,2`
    """
    from phis_lab.commands.train import main as enter  # noqa: PLC0415  Hydra, which the other commands' --help can do without

    enter(arguments or [], command="train")


@app.command()
def options(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            help="Groups, or options of them. Without any: all groups.",
            metavar="[GROUP[=OPTION]]...",
            autocompletion=_choices_offered,
            show_default=False,
        ),
    ] = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """What there is to choose: the groups, the options of one, or every argument of one option.

    `phis-lab options normalizer=partial_whiten`
    """
    with at_work(as_json, logged=False):
        from phis_lab.commands.options import options as read  # noqa: PLC0415  OmegaConf, which --help can do without
        from phis_lab.commands.options import show  # noqa: PLC0415

        answers = [read(word, config_dir) for word in words] if words else [read(None, config_dir)]
    if as_json:
        print_json(answers[0] if len(answers) == 1 else {"answers": answers})
        return
    for answer in answers:
        show(answer)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Whether this machine can run the demo: packages, CPU, GPU, memory, disks, weights, data, W&B and the hub.

    Nothing is downloaded. Ends with code 1 where a problem would stop the demo.
    """
    with at_work(as_json, logged=False):
        from phis_lab.commands import doctor as of_doctor  # noqa: PLC0415  Hydra, which --help can do without

        findings = of_doctor.examine()
    stops = of_doctor.stops_demo(findings)
    print_json({"can_run_demo": not stops, "findings": findings}) if as_json else of_doctor.show(findings)
    if stops:
        raise typer.Exit(1)


class Status(StrEnum):
    """How a run stands."""

    COMPLETE = "complete"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    DAMAGED = "damaged"


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="A run, a sweep, or many of them.")] = Path("outputs"),
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Runs with this choice or option, or (!=) without; `*` fits anything; repeat for several conditions.",
            show_default=False,
        ),
    ] = None,
    status: Annotated[
        list[Status] | None, typer.Option(help="Runs that stand so; repeat for several.", show_default=False)
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="RUN RUN", help="How two runs differ: options and metrics.", show_default=False),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the listed runs, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the runs below FOLDER: complete, running, stopped, failed and damaged ones, from their folders alone.

    `phis-lab runs outputs --where normalizer=phis --status failed`
    """
    if compare is not None and (remove or where or status):
        raise typer.BadParameter("--compare shows two runs; leave out --remove, --where and --status")
    if yes and not remove:
        raise typer.BadParameter("--yes goes with --remove")
    from phis_lab.commands import runs as of_runs  # noqa: PLC0415  pydantic, which --help can do without

    with at_work(as_json, logged=False):
        if compare is not None:
            comparison = of_runs.compare(*compare, folder)
        else:
            listing = of_runs.find(folder, where or (), [each.value for each in status or ()])
    if compare is not None:
        print_json(comparison) if as_json else of_runs.show_comparison(comparison)
    elif remove:
        _remove(of_runs, listing, yes, as_json)
    else:
        print_json(listing) if as_json else of_runs.show(listing)


def _remove(of_runs: Any, listing: Any, yes: bool, as_json: bool) -> None:
    """Remove runs once the user has agreed; ends with code 1 where one of them is kept."""
    with at_work(as_json, logged=False):
        if not as_json or not yes:
            of_runs.show(listing)
        going = of_runs.removable(listing)
        total = of_runs.size(sum(run.bytes for run in going))
        if going and not yes:
            typer.confirm(f"Remove {len(going)} of {len(listing.runs)} runs ({total})?", abort=True, err=as_json)
        gone, kept = of_runs.remove(listing)
        print_lines(kept, style="yellow")
        print_lines([f"Removed {len(gone)} of {len(listing.runs)} runs."])
    if as_json:
        print_json({"removed": gone, "kept": kept})
    if kept:
        raise typer.Exit(1)


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


@app.command(no_args_is_help=True)
def plan(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="As for run.py: `experiment=...`, `scale=...`, `strategy=...`; nothing is read or downloaded.",
            metavar="OVERRIDE...",
            autocompletion=_overrides_offered,
            show_default=False,
        ),
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="How many.", show_default="as strategy says")] = None,
    gpu: Annotated[str | None, typer.Option(help="Which: a100, h100, ... or cpu.", show_default="a100")] = None,
    rate_tflops: Annotated[float | None, typer.Option(min=1e-6, help="Its rate, dense.", show_default=False)] = None,
    memory_gb: Annotated[float | None, typer.Option(min=1e-3, help="Its memory.", show_default=False)] = None,
    link: Annotated[
        float | None, typer.Option(min=1e-6, help="GB/s in one direction between two of them.", show_default=False)
    ] = None,
    mfu: Annotated[
        float | None,
        typer.Option(
            min=1e-6, max=1, help="Which part of the rate is used.", show_default="as published for such networks"
        ),
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Of one for an hour.", show_default=False)] = None,
    arms: Annotated[int, typer.Option(min=1, help="Runs that share a teacher pass, as in a sweep.")] = 1,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """What a run will need before anybody pays for it: operations, memory, time, cost, and where it breaks.

    `phis-lab plan experiment=phis/phis scale=paper strategy=ddp --gpus 32 --gpu a100`
    """
    with at_work(as_json, logged=False):
        from phis_lab.commands import plan as of_plan  # noqa: PLC0415  torch, which --help can do without
        from phis_lab.commands.plan_shown import document, show  # noqa: PLC0415

        wanted = of_plan.Wanted(gpus, gpu, rate_tflops, memory_gb, link, mfu, price, arms)
        made = of_plan.plan(overrides or [], wanted, config_dir)
    print_json(document(made)) if as_json else show(made)


@app.command(no_args_is_help=True)
def cache(
    overrides: Annotated[
        list[str],
        typer.Argument(
            help="As for run.py: `teachers.store=PATH`, which is needed, and whatever else differs from the defaults.",
            metavar="OVERRIDE...",
            autocompletion=_overrides_offered,
            show_default=False,
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
        typer.Argument(
            help="As for run.py: `teachers=... data=...`, and whatever else differs from the defaults.",
            metavar="OVERRIDE...",
            autocompletion=_overrides_offered,
            show_default=False,
        ),
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


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the student that is in it.")] = False,
    trust: Trusted = None,
    as_json: AsJson = False,
) -> None:
    """The trained student of a run alone, predicting each teacher in the teacher's own space.

    Its normalisers are folded into its heads. `phis_lab.config.exported.load_exported(FOLDER)` is the module again.
    """
    with at_work(as_json, logged=False):
        from phis_lab.commands.export import export_run  # noqa: PLC0415  torch, which --help can do without

        written = export_run(run, out, overwrite, trust or ())
    if as_json:
        print_json({"run": run, "files": written})
        return
    print_lines(written)


@app.command(no_args_is_help=True)
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", metavar="RUN", show_default=False)],
    overrides: Annotated[
        list[str],
        typer.Argument(
            help="As for run.py: `evaluation=...`, `task=...`.",
            metavar="OVERRIDE...",
            autocompletion=_overrides_offered,
            show_default=False,
        ),
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
