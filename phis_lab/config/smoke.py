"""What `debug=smoke` makes of a recipe. Import-light."""

from omegaconf import DictConfig, OmegaConf

TOKENS = 4
"""Rows of tokens of the small teachers at their own image size."""
PATCH = 16


def smoke_image_size(*, _root_: DictConfig) -> int:
    """Side in pixels of a student's images that small teachers can match: 4 x 4 tokens.

    Stages that enlarge the student's images more than some teacher's, as PHI-S's do, begin with 2 x 2.
    """
    patch = OmegaConf.select(_root_, "student.patch_size") or PATCH
    stages = OmegaConf.select(_root_, "stages") or {}
    partitions = [part for stage in stages.values() for part in (stage.get("partitions") or {}).values()]
    outgrown = any(part.get("size", 1) > _smallest(part.get("teachers")) for part in partitions)
    return int(patch) * (TOKENS // 2 if outgrown else TOKENS)


def _smallest(teachers: object) -> float:
    """The factor of the image size of the teacher that rises least."""
    if isinstance(teachers, DictConfig):
        return min(teachers.values(), default=1)
    return teachers if isinstance(teachers, int | float) else 1
