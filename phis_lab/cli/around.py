"""Commands around runs: what there is to choose, whether a machine can run it, how runs stand, what one will need."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from phis_lab.cli.program import AsJson, ConfigDir, app, overrides_as
from phis_lab.terminal import at_work, print_json, print_lines


def _choices_offered(incomplete: str) -> list[str]:
    from phis_lab.commands.completion import choices  # noqa: PLC0415  OmegaConf

    return choices(incomplete)


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


@app.command(no_args_is_help=True)
def plan(
    overrides: Annotated[
        list[str] | None,
        overrides_as("As for run.py: `experiment=...`, `scale=...`, `strategy=...`; nothing is read or downloaded."),
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

    Ends with code 1 where a run would not start as it is planned, or would run out of memory.

    `phis-lab plan experiment=phis/phis scale=paper strategy=ddp --gpus 32 --gpu a100`
    """
    with at_work(as_json, logged=False):
        from phis_lab.commands import plan as of_plan  # noqa: PLC0415  torch, which --help can do without
        from phis_lab.commands.plan_shown import document, show  # noqa: PLC0415

        wanted = of_plan.Wanted(gpus, gpu, rate_tflops, memory_gb, link, mfu, price, arms)
        made = of_plan.plan(overrides or [], wanted, config_dir)
    print_json(document(made)) if as_json else show(made)
    with at_work(as_json, logged=False):
        made.refuse_what_does_not_start()
