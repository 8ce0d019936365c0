"""From a finished run to an exported student: its teachers are not needed, nor its data unless it is standardised."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from phis_lab.config.build import Dims, build_spaces
from phis_lab.config.exported import UNTRAINED, build_student
from phis_lab.config.jobs import check_recorded, finished_job, misfit, trained_state
from phis_lab.config.stage_options import read_stages
from phis_lab.data import PartitionPlan
from phis_lab.formats import Format
from phis_lab.normalizers import TeacherSpace
from phis_lab.runs import RunRecord, environment, read_record
from phis_lab.runs.job import Job
from phis_lab.runs.record import FILE_NAME
from phis_lab.students import Student
from phis_lab.students.export_folder import (
    Channels,
    Description,
    Origin,
    Standardization,
    check_folder,
    write_student,
)
from phis_lab.students.fold import fold
from phis_lab.whole_files import part_folder

log = logging.getLogger(__name__)

PLAIN = {"spectral": False}
"""Options of one whose weights come from an export."""


def export_run(
    run: Path,
    folder: Path,
    overwrite: bool = False,
    trusted: Sequence[str] = (),
    formats: Sequence[Format] = (Format.SAFETENSORS,),
    standardize_images: int | None = None,
    push_to_hub: str | None = None,
) -> list[Path]:
    """Writes the trained student of a finished run with its normalisers folded into it.

    Args:
        run: folder of the run.
        folder: to be written; with several formats each gets a folder of its name in it.
        overwrite: replaces a student that is there.
        trusted: modules that the run may name beside the shipped configuration.
        formats: what to write.
        standardize_images: puts PHI-S behind the final norm, fitted on the tokens of so many training images of the
            run, whose data are needed then.
        push_to_hub: the repository of the Hugging Face hub that gets the files of `Format.HUB`.

    Returns:
        The files.

    Raises:
        ValueError: the run has not ended or failed, its parts cannot be built or folded, a format cannot hold the
            student, a folder is not empty, or the hub did not take the files.
        FileNotFoundError: its configuration or its checkpoint is gone.
    """
    folders = _places(folder, formats)
    for place in (folders[kind] for kind in folders):
        check_folder(place, overwrite)
    if push_to_hub is not None:
        _check_hub(push_to_hub, formats)
    job, record = finished_job(run), read_record(run / FILE_NAME)
    if record.status == "failed":
        raise ValueError(f"{run} failed: {record.failure}; there is no trained student to export")
    dims = _dims(record)
    student = fold(*_restored(job, dims, trusted))
    plan = _last_partition(job, dims)
    student.backbone.image_size = student.backbone.image_size_at(plan.scale)
    if Format.TIMM in folders:
        from phis_lab.students.export import timm  # noqa: PLC0415  only where it is asked for

        timm.refuse(student)
    standardization = None
    if standardize_images is not None:
        from phis_lab.commands.export_standardize import standardize  # noqa: PLC0415  data and Lightning

        standardization = standardize(student, job, record, plan, standardize_images, trusted)
    description = _describe(job, record, dims, student, standardization)
    written = [
        path for kind, place in folders.items() for path in _write(kind, place, student, description, record, job)
    ]
    if push_to_hub is not None:
        from phis_lab.students.export.hub import upload  # noqa: PLC0415

        log.warning("Sent to the hub: %s", upload(folders[Format.HUB], push_to_hub))
    return written


def _places(folder: Path, formats: Sequence[Format]) -> dict[Format, Path]:
    """The folder of each format: the one that was named, or one for each in it."""
    if not formats:
        raise ValueError(f"no format to export to; choose of {', '.join(Format)}")
    check_folder(folder, overwrite=True)
    kinds = list(dict.fromkeys(formats))
    return {kind: folder if len(kinds) == 1 else folder / kind for kind in kinds}


def _check_hub(repository: str, formats: Sequence[Format]) -> None:
    from phis_lab.students.export.hub import refuse_repository  # noqa: PLC0415

    if Format.HUB not in formats:
        raise ValueError(f"--push-to-hub {repository} sends the files of --to hub; add that")
    refuse_repository(repository)


def _describe(
    job: Job, record: RunRecord, dims: Dims, student: Student, standardization: Standardization | None
) -> Description:
    return Description(
        phis_lab=environment().versions["phis_lab"],
        backbone=_changed(job.config["student"], UNTRAINED | PLAIN),
        head=job.config["head"],
        teachers={name: Channels(summary=summary, spatial=spatial) for name, (summary, spatial) in dims.items()},
        image_size=student.backbone.image_size,
        origin=Origin(
            study=record.name,
            method=record.method,
            seed=record.seed,
            commit=record.commit,
            config_sha256=record.config_sha256,
        ),
        standardize=standardization,
    )


def _write(
    kind: Format, folder: Path, student: Student, description: Description, record: RunRecord, job: Job
) -> list[Path]:
    """Writes one format, whole or not at all; each is imported only where it is asked for."""
    if kind is Format.SAFETENSORS:
        return write_student(folder, student, description, overwrite=True)
    if kind is Format.TIMM:
        from phis_lab.students.export import timm  # noqa: PLC0415

        return _staged(folder, partial(timm.write, student=student, description=description))
    if kind is Format.ONNX:
        from phis_lab.students.export import onnx  # noqa: PLC0415

        return _staged(folder, partial(onnx.write, student=student, description=description))
    from phis_lab.commands.export_card import card  # noqa: PLC0415
    from phis_lab.students.export import hub  # noqa: PLC0415

    text = card(record, job.config, description)
    return _staged(folder, partial(hub.write, student=student, description=description, card=text))


def _staged(folder: Path, write: Callable[[Path], list[Path]]) -> list[Path]:
    """Writes beside a folder, and moves there what is whole."""
    with part_folder(folder.resolve()) as part:
        names = [path.name for path in write(part)]
        folder.mkdir(parents=True, exist_ok=True)
        return [(part / name).replace(folder / name) for name in names]


def _last_partition(job: Job, dims: Dims) -> PartitionPlan:
    """The first partition of the last stage, whose image size the student leaves with."""
    plans = list(read_stages(job.config.get("stages"), dims).values())
    return next(iter(plans[-1].partitions.values()))


def _dims(record: RunRecord) -> Dims:
    """Per teacher its channels (summary, spatial), as the record tells them."""

    def channels(facts: Mapping[str, str | int], kind: str) -> int | None:
        return int(facts[kind]) if kind in facts else None

    dims = {
        name: (channels(facts, "summary_dim"), channels(facts, "spatial_dim"))
        for name, facts in record.teachers.items()
    }
    lacking = [name for name, (summary, spatial) in dims.items() if summary is None and spatial is None]
    if lacking or not dims:
        raise ValueError(f"the record does not tell how many channels its teachers have: {', '.join(lacking) or dims}")
    return dims


def _restored(job: Job, dims: Dims, trusted: Sequence[str]) -> tuple[Student, dict[str, TeacherSpace]]:
    """The trained student, and how it matches each teacher."""
    config = {key: job.config[key] for key in ("student", "head", "normalizer")}
    check_recorded(job.folder, config, trusted)
    state = trained_state(job)
    student = build_student(_changed(config["student"], UNTRAINED), config["head"], dims)
    spaces = build_spaces(config["normalizer"], dims, student.backbone.width)
    parts = nn.ModuleDict({"student": student, "spaces": nn.ModuleDict(spaces)})
    wanted = tuple(f"{name}." for name in parts)
    try:
        parts.load_state_dict({key: v for key, v in state["arm"]["modules"].items() if key.startswith(wanted)})
    except (KeyError, RuntimeError) as error:
        raise misfit(job.folder, "student") from error
    return student, spaces


def _changed(node: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A node with other values for those of the options that it has."""
    return {**node, **{name: value for name, value in options.items() if name in node}}
