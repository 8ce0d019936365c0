"""From a finished run to an exported student: neither its teachers nor its data are needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from phis_lab.config.build import Dims, build_spaces
from phis_lab.config.exported import UNTRAINED, build_student
from phis_lab.config.jobs import check_recorded, finished_job, misfit, trained_state
from phis_lab.config.stage_options import read_stages
from phis_lab.normalizers import TeacherSpace
from phis_lab.runs import RunRecord, environment, read_record
from phis_lab.runs.job import Job
from phis_lab.runs.record import FILE_NAME
from phis_lab.students import Student
from phis_lab.students.export_folder import Channels, Description, Origin, check_folder, write_student
from phis_lab.students.fold import fold

PLAIN = {"spectral": False}
"""Options of one whose weights come from an export."""


def export_run(run: Path, folder: Path, overwrite: bool = False, trusted: Sequence[str] = ()) -> list[Path]:
    """Writes the trained student of a finished run with its normalisers folded into it.

    Args:
        run: folder of the run.
        folder: to be written; `load_exported` reads it.
        overwrite: replaces a student that is there.
        trusted: modules that the run may name beside the shipped configuration.

    Returns:
        The two files.

    Raises:
        ValueError: the run has not ended or failed, its parts cannot be built or folded, or the folder is not empty.
        FileNotFoundError: its configuration or its checkpoint is gone.
    """
    check_folder(folder, overwrite)
    job, record = finished_job(run), read_record(run / FILE_NAME)
    if record.status == "failed":
        raise ValueError(f"{run} failed: {record.failure}; there is no trained student to export")
    dims = _dims(record)
    student = fold(*_restored(job, dims, trusted))
    description = Description(
        phis_lab=environment().versions["phis_lab"],
        backbone=_changed(job.config["student"], UNTRAINED | PLAIN),
        head=job.config["head"],
        teachers={name: Channels(summary=summary, spatial=spatial) for name, (summary, spatial) in dims.items()},
        image_size=student.backbone.image_size_at(_last_scale(job, dims)),
        origin=Origin(
            study=record.name,
            method=record.method,
            seed=record.seed,
            commit=record.commit,
            config_sha256=record.config_sha256,
        ),
    )
    return write_student(folder, student, description, overwrite)


def _last_scale(job: Job, dims: Dims) -> float:
    """Image size of the last stage's first partition, over the student's own."""
    plans = list(read_stages(job.config.get("stages"), dims).values())
    return next(iter(plans[-1].partitions.values())).scale


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
