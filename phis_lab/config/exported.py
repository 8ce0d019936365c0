"""Exported students as modules again; teachers, data and Lightning are not needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from torch import nn

from phis_lab.config.build import Dims, build
from phis_lab.config.trust import refuse_untrusted
from phis_lab.refusals import one_line
from phis_lab.students import Student
from phis_lab.students.export.standardize import TokenStandardizer, class_tokens_of
from phis_lab.students.export_folder import Description, files_of, outlined_student, read_student
from phis_lab.students.fold import as_folded
from phis_lab.teachers.pixels import check_images

UNTRAINED = {"pretrained": False, "weights": None}
"""Options of a backbone whose weights are to be loaded from a file of ours, and from nowhere else."""


def load_exported(folder: str | Path, trusted: Sequence[str] = ()) -> Student:
    """The student that `phis-lab export` wrote, by itself or for the hub, in evaluation mode.

    It answers images in [0, 1] with its tokens and, per teacher, features in the teacher's own space. Other images are
    refused with a ValueError, as teachers refuse them.

    Args:
        folder: with `student.json` and `student.safetensors`, or `config.json` and `model.safetensors`.
        trusted: modules whose classes the description may name beside those of the shipped configuration; name your own
            if you export students of yours. What others wrote could run anything.

    Raises:
        FileNotFoundError: the folder holds no exported student.
        ValueError: the student cannot be built, or is not the one that was written.
    """
    return checked(read_student(Path(folder), lambda description: _build(description, folder, trusted)))


def outline_exported(folder: str | Path, trusted: Sequence[str] = ()) -> Student:
    """The same student without values, at once and in no memory: what it is, and whether its files fit each other.

    Raises:
        FileNotFoundError: the folder holds no exported student.
        ValueError: the student cannot be built.
    """
    return outlined_student(Path(folder), lambda description: _build(description, folder, trusted))


def checked(student: Student) -> Student:
    """Make a student refuse what teachers refuse, and what it would answer all the same."""
    student.register_forward_pre_hook(_check_images, with_kwargs=True)
    return student


def _check_images(student: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A compiler sees the student alone."""
    del student
    if not torch.compiler.is_compiling():
        check_images(args[0] if args else kwargs.get("images"), "a student", whole=True)


def _build(description: Description, folder: str | Path, trusted: Sequence[str]) -> Student:
    untrained = {name: value for name, value in UNTRAINED.items() if name in description.backbone}
    nodes = {"student": description.backbone | untrained, "head": description.head}
    where = Path(folder) / files_of(Path(folder)).description
    refuse_untrusted(nodes, str(where), trusted)
    for name, node in nodes.items():
        if "_target_" not in node:
            raise ValueError(f"{where} names no class of its {name} (_target_)")
    dims = {name: (channels.summary, channels.spatial) for name, channels in description.teachers.items()}
    try:
        student = as_folded(build_student(nodes["student"], nodes["head"], dims))
    except InstantiationException as error:
        raise ValueError(f"{where} does not describe a student: {one_line(error)}") from error
    size, patch = description.image_size, student.backbone.patch_size
    if size % patch:
        raise ValueError(f"{where}: image_size must be a multiple of the student's patch of {patch}, got {size}")
    student.backbone.image_size = size
    if description.standardize is not None:
        student.standardizer = TokenStandardizer(student.backbone.width, class_tokens_of(student.backbone))
    return student


def build_student(backbone: Mapping[str, Any], head: Mapping[str, Any], dims: Dims) -> Student:
    """A student whose weights are still to be loaded; the caller's random numbers stay as they are.

    Args:
        backbone: node of the configuration.
        head: likewise.
        dims: per teacher its channels (summary, spatial).
    """
    with torch.random.fork_rng(devices=[]):
        return Student(build(backbone, "student"), build(head, "head"), dims)
