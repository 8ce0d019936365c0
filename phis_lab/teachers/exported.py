"""Teachers that are students of ours: what `phis-lab export` wrote, for a next student to match."""

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from phis_lab.bounds import Above, Side
from phis_lab.features import Features
from phis_lab.shapes import Float
from phis_lab.teachers.base import Teacher, scaled
from phis_lab.teachers.image_sizes import check_image_size
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.weights import Weights


class ExportedTeacher(Teacher):
    """An exported student, whose tokens are the features: its class tokens the summary, its patch tokens spatial.

    Where the export is standardised, so are the features. The folder may be another's: nothing is imported or called
    for it but what the shipped configuration names, as for `load_student`.

    Args:
        name: key of the teacher in its set.
        path: folder that `phis-lab export` wrote, by itself or with `--to hub`.
        image_size: side in pixels, a multiple of the patch; None takes the student's own.
        spatial_scale: constant factor on the spatial features.

    Raises:
        FileNotFoundError: the folder holds no exported student.
        ValueError: the student cannot be built, is not the one that was written, or takes no such images.
    """

    def __init__(self, name: str, *, path: str, image_size: Side | None = None, spatial_scale: Above = 1.0) -> None:
        folder = Path(path).expanduser()
        student = _reader().load_exported(folder)
        backbone = student.backbone
        size = backbone.image_size if image_size is None else image_size
        check_size(student, size)
        backbone.image_size = size
        for heads in (student.summary_heads, student.spatial_heads):
            heads.clear()  # a teacher's answers are its tokens
        student._forward_pre_hooks.clear()  # the pool has looked at the images
        self.spatial_scale = spatial_scale
        weights = folder / _files(folder).weights
        super().__init__(
            name=name,
            network=student,
            pixels=Pixels(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
            weights=Weights.of_file(weights),
            layer="exported student:tokens" + _standardized(student) + scaled(spatial_scale),
            spatial_dim=backbone.width,
            summary_dim=backbone.width * backbone.vit.cls_token.shape[1],
        )

    @classmethod
    def check(cls, name: str, option: Mapping[str, Any]) -> None:
        """Raises ValueError or FileNotFoundError unless the folder holds a student that takes such images."""
        try:
            student = outline_of(option)
            if option.get("image_size") is not None:
                check_size(student, option["image_size"])
        except FileNotFoundError as error:
            raise ValueError(f"{error}; teachers.{name}.path names a folder that phis-lab export wrote") from error

    @classmethod
    def stride(cls, option: Mapping[str, Any]) -> int:
        """The side of a patch."""
        return int(outline_of(option).backbone.patch_size)

    @classmethod
    def usual_size(cls, option: Mapping[str, Any]) -> int:
        """That of the student's last stage."""
        return int(outline_of(option).backbone.image_size)

    @classmethod
    def licence(cls, option: Mapping[str, Any]) -> str | None:
        """Nobody but its own teachers' publishers can tell."""
        return "that of the teachers that it was trained on"

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the backbone."""
        tokens, _ = self.network(x)
        return Features(tokens.summary, tokens.spatial * self.spatial_scale)


def outline_of(option: Mapping[str, Any]) -> Any:
    """The student of a teacher's option without values."""
    folder = Path(str(option["path"])).expanduser()
    names = _files(folder)
    return _outline(folder, *(_stamp(folder / name) for name in names))


@lru_cache(maxsize=64)
def _outline(folder: Path, *stamps: tuple[int, int]) -> nn.Module:
    """One for each state of the files, for plans and checks ask for the same one many times."""
    del stamps
    student: nn.Module = _reader().outline_exported(folder)
    return student


def check_size(student: Any, size: int) -> None:
    """Raises ValueError unless a student takes images of this size."""
    backbone = student.backbone
    check_image_size(size, backbone.patch_size, "the patch of ")
    if (most := backbone.cpe_max_size) is not None and size > most:
        raise ValueError(f"image_size={size} exceeds the {most} px that the student's position embeddings are made for")


def _standardized(student: Any) -> str:
    return "" if student.standardizer is None else ", standardised"


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _files(folder: Path) -> Any:
    """What the files of an export are called."""
    return import_module("phis_lab.students.export_folder").files_of(folder)


def _reader() -> Any:
    """Builds students, in a room above this one, where options become objects; found by name, as `load_student` is."""
    return import_module("phis_lab.config.exported")
