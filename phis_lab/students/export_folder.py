"""Exported students: a folder with their weights and a description of what these belong to.

The two are `student.safetensors` and `student.json`, or under the names that the Hugging Face hub knows
`model.safetensors` and `config.json`.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from phis_lab.bounds import Side, Width
from phis_lab.refusals import one_line
from phis_lab.students.student import Student
from phis_lab.whole_files import (
    broken_seal,
    left_parts,
    part_of,
    read_json,
    remove_parts,
    sealed,
    sha256_of,
    write_text,
    write_whole,
)

FORMAT = 1


class Names(NamedTuple):
    """What the two files of a folder are called."""

    weights: str
    description: str


OWN = Names("student.safetensors", "student.json")
HUB = Names("model.safetensors", "config.json")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Channels(_Model):
    """Channels of a teacher's features; None for a kind that it lacks."""

    summary: Width | None
    spatial: Width | None


class Origin(_Model):
    """The run that trained the student."""

    study: str
    method: str
    seed: int
    commit: str
    config_sha256: str


class Standardization(_Model):
    """The map that was put behind the final norm, and the images whose tokens it was fitted on."""

    method: str
    images: int
    data: str


class Description(_Model):
    """What is needed to build the student that the weights belong to.

    Args:
        format: of the folder.
        phis_lab: version of the package that wrote it.
        backbone: node of the configuration, with nothing in it that only training needs.
        head: likewise.
        teachers: by name, in the student's order.
        image_size: side in pixels at which the student answers unless told otherwise: that of its last stage.
        origin: the run.
        standardize: what its tokens are mapped by, after the final norm; None where they are as the student makes them.
    """

    format: int = FORMAT
    phis_lab: str
    backbone: dict[str, Any]
    head: dict[str, Any]
    teachers: dict[str, Channels]
    image_size: Side
    origin: Origin
    standardize: Standardization | None = None


class _Written(Description):
    """As it stands in the file."""

    weights_sha256: str


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse to write where something is; what a killed process left of an export does not count, and is removed.

    Raises:
        ValueError: the folder is a file, or is not empty and may not be overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder")
    _remove_begun(folder)
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise ValueError(f"{folder} is not empty; give another folder, or --overwrite to replace the student in it")


def _remove_begun(folder: Path) -> None:
    if left_parts(folder, OWN.description) and not (folder / OWN.description).exists():
        (folder / OWN.weights).unlink(missing_ok=True)  # which that description belongs to
    remove_parts(folder)


def write_student(
    folder: Path, student: Student, description: Description, overwrite: bool = False, names: Names = OWN
) -> list[Path]:
    """Writes a folded student in float32, whole or not at all; other files of the folder stay.

    Raises:
        ValueError: see `check_folder`.
    """
    check_folder(folder, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: _plain(tensor) for name, tensor in student.state_dict().items()}
    begun = [part_of(folder / name) for name in names]
    try:
        write_whole(begun[0], lambda temporary: save_file(weights, temporary, metadata={"format": "pt"}))
        written = _Written(**dict(description) | {"weights_sha256": sha256_of(begun[0])})
        unsaid = {"standardize"} if written.standardize is None else None  # as versions without it wrote it
        content = json.loads(written.model_dump_json(exclude=unsaid))
        text = json.dumps(sealed(content), indent=2, ensure_ascii=False)
        write_text(begun[1], text + "\n")
        return [path.replace(folder / name) for path, name in zip(begun, names, strict=True)]
    except BaseException:
        for path in begun:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()  # where nothing else is in it
        raise


def read_student(folder: Path, build: Callable[[Description], Student]) -> Student:
    """Builds a student from its description and gives it its weights, in evaluation mode.

    Args:
        folder: that `write_student` filled.
        build: makes the student of a description, with a folded one's layers; its weights are replaced.

    Raises:
        FileNotFoundError: the folder holds no exported student.
        ValueError: it is of another format, its two files do not belong together, or this version of the package
            builds another student.
    """
    description, names, is_damaged = _read_description(folder)
    if sha256_of(folder / names.weights) != description.weights_sha256:
        raise ValueError(
            f"{folder / names.weights} is not the file that {names.description} describes; export the run again"
        )
    _check_fit(folder, names, description, build)
    if is_damaged:  # any other reason has been told by now
        raise ValueError(f"{folder / names.description} is not what was written, by its sha256; export the run again")
    student = build(description)
    student.load_state_dict(load_file(folder / names.weights))
    return student.eval()


def outlined_student(folder: Path, build: Callable[[Description], Student]) -> Student:
    """The same student without values: neither its weights are read nor memory is taken for them.

    Raises:
        FileNotFoundError: the folder holds no exported student.
        ValueError: it is of another format, or this version of the package builds another student.
    """
    description, names, _ = _read_description(folder)
    return _check_fit(folder, names, description, build).eval()


def read_description(folder: Path) -> Description:
    """What a folder's description says.

    Raises:
        FileNotFoundError: the folder holds no exported student.
        ValueError: the description is none.
    """
    return _read_description(folder)[0]


def files_of(folder: Path) -> Names:
    """What the files of an exported student are called.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    names = HUB if not (folder / OWN.description).exists() and (folder / HUB.description).exists() else OWN
    for name in (names.description, names.weights):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}: it is no exported student")
    return names


def _check_fit(
    folder: Path, names: Names, description: Description, build: Callable[[Description], Student]
) -> Student:
    """Refuse, before memory is taken for it, a student that its description and its weights do not agree on."""
    try:
        with torch.device("meta"):
            outline = build(description)
    except ModuleNotFoundError:  # a library that its student needs
        raise
    except Exception as error:  # whatever a constructor makes of odd values
        if str(folder) in str(error):
            raise
        raise ValueError(f"{folder / names.description} does not describe a student: {one_line(error)}") from error
    wanted = {name: list(tensor.shape) for name, tensor in outline.state_dict().items()}
    try:
        with safe_open(folder / names.weights, "pt") as file:
            found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  it is no mapping
    except SafetensorError as error:
        raise ValueError(f"{folder / names.weights} holds no weights ({error}); export the run again") from error
    if differing := sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name)):
        name, others = differing[0], len(differing) - 1
        raise ValueError(
            f"{folder} was written by phis_lab {description.phis_lab} and this version builds another student: "
            f"{name} is {found.get(name, 'missing')} and {wanted.get(name, 'not known')} is wanted"
            + (f", and {others} more" if others else "")
        )
    return outline


def _read_description(folder: Path) -> tuple[_Written, Names, bool]:
    """What the file says, how both files are called, and whether that is other than what was written."""
    names = files_of(folder)
    content = read_json(folder / names.description)
    if isinstance(content, dict) and "architecture" in content:
        raise ValueError(
            f"{folder} holds a model of timm: timm.create_model('local-dir:{folder}', pretrained=True) loads it, and "
            "phis_lab loads what was exported with --to safetensors or --to hub"
        )
    is_damaged = isinstance(content, dict) and broken_seal(content)
    try:
        description = _Written.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise ValueError(f"{folder / names.description} does not describe a student: {problems}") from error
    if description.format != FORMAT:
        raise ValueError(f"{folder} has format {description.format} and this phis_lab reads {FORMAT}; update phis_lab")
    return description, names, is_damaged


def _plain(tensor: Tensor) -> Tensor:
    """A copy in float32 on the CPU; counters and flags keep their type."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", dtype).clone(memory_format=torch.contiguous_format)
