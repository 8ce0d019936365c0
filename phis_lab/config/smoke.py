"""What `debug=smoke` makes of a recipe. Import-light."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

SIDE = 64
"""Pixels that a student with patches of 14 or 16 cuts into 4 x 4 tokens, as many as the small teachers have."""
PATCH = 16


def smoke_image_size(*, _root_: DictConfig) -> int:
    """Side in pixels of a student's images that small teachers can match, in whole patches.

    Stages that enlarge the student's images more than some teacher's, as PHI-S's do, begin with half of it.
    """
    chosen = OmegaConf.select(_root_, "student.patch_size")
    patch = chosen if isinstance(chosen, int) and chosen > 0 else PATCH  # what is no patch is refused by name later
    stages = [stage for stage in (OmegaConf.select(_root_, "stages") or {}).values() if isinstance(stage, DictConfig)]
    partitions = [part for stage in stages for part in (stage.get("partitions") or {}).values() if part]
    outgrown = any(part.get("size", 1) > _smallest(part.get("teachers")) for part in partitions)
    return patch * max(1, (SIDE // 2 if outgrown else SIDE) // patch)


def text_tower(option: str, teacher: str, *, _root_: DictConfig) -> Any:
    """What the text tower of a zero-shot task has in common with its teacher.

    Args:
        option: `weights`, which are the teacher's; or `architecture`: None, or beside a small random teacher that of a
            small text tower of the same embedding.
        teacher: its name in the set; where it is not there the task refuses the run.
    """
    node = OmegaConf.select(_root_, f"teachers.{teacher}")
    known = node if isinstance(node, DictConfig) else {}
    if option == "weights":
        return known.get("weights", "hub")
    dim = (known.get("architecture") or {}).get("embed_dim")
    return None if dim is None else OmegaConf.create({"embed_dim": dim, "width": 32, "layers": 1, "heads": 2})


def _smallest(teachers: object) -> float:
    """The factor of the image size of the teacher that rises least."""
    if isinstance(teachers, DictConfig):
        return float(min(teachers.values(), default=1.0))
    return float(teachers) if isinstance(teachers, int | float) else 1.0
