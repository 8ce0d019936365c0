"""The command that takes a student out of the lab."""

from pathlib import Path
from typing import Annotated

import typer

from phis_lab.cli.program import AsJson, Trusted, app
from phis_lab.formats import Format, formats_of
from phis_lab.terminal import at_work, print_json, print_lines

USUAL_IMAGES = 1000


def _known(given: list[str]) -> list[str]:
    try:
        return [str(kind) for kind in formats_of(given)]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    folder: Annotated[Path | None, typer.Argument(help="Folder to write, new or empty.", show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The same, said as an option.", show_default=False)
    ] = None,
    to: Annotated[
        list[str],
        typer.Option(
            metavar="|".join(Format),
            callback=_known,
            help="What to write; repeat for several, each of which gets a folder of its name in FOLDER.",
        ),
    ] = [Format.SAFETENSORS.value],  # noqa: B006  typer wants a list, and copies it
    standardize: Annotated[
        bool,
        typer.Option("--standardize", help="Put PHI-S, fitted on the student's own tokens, behind its final norm."),
    ] = False,
    standardize_images: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="Training images of the run to fit it on.",
            show_default=str(USUAL_IMAGES),
        ),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(metavar="REPO", help="Send what --to hub wrote to the Hugging Face hub.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the student that is in it.")] = False,
    trust: Trusted = None,
    as_json: AsJson = False,
) -> None:
    """The trained student of a run alone, predicting each teacher in the teacher's own space.

    Its normalisers are folded into its heads. `phis_lab.load_student(FOLDER)` is the module again; with `--to` other
    programs load it: `timm`, `hub` (Hugging Face), `onnx`.
    """
    with at_work(as_json, logged=False):
        place = _one_folder(folder, out)
        if standardize_images is not None and not standardize:
            raise ValueError(f"--standardize-images {standardize_images} counts for --standardize alone: add that")
        from phis_lab.commands.export import export_run  # noqa: PLC0415  torch, which --help can do without

        images = (standardize_images or USUAL_IMAGES) if standardize else None
        written = export_run(run, place, overwrite, trust or (), formats_of(to), images, push_to_hub)
    with at_work(as_json):
        from phis_lab.commands.export_logged import log_export  # noqa: PLC0415

        log_export(run, written)
    if as_json:
        print_json({"run": run, "files": written})
        return
    print_lines(written)


def _one_folder(folder: Path | None, out: Path | None) -> Path:
    if folder is not None and out is not None:
        raise ValueError(f"{folder} and --out {out} both name the folder to write; give one of them")
    if (place := folder or out) is None:
        raise ValueError("there is no folder to write to: phis-lab export RUN FOLDER")
    return place
