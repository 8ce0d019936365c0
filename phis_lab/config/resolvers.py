"""Resolvers that the configuration files use. Import-light: they run for `--cfg job` and for tab completion."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from phis_lab.groups import NAMING, NOT_CONTENT, without

SIDE = 64
"""Pixels that a student with patches of 14 or 16 cuts into 4 x 4 tokens, as many as the small teachers have."""
PATCH = 16


def register_resolvers() -> None:
    """Make the resolvers known to OmegaConf. Harmless when called again."""
    OmegaConf.register_new_resolver("study", study, replace=True)
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver("whole", whole, replace=True)
    OmegaConf.register_new_resolver("smoke_image_size", smoke_image_size, replace=True)
    OmegaConf.register_new_resolver("text_tower", text_tower, replace=True)


def study(*, _root_: DictConfig) -> str:
    """Name of the sweep that was chosen, or else of the experiment's folder or the experiment; `runs` when none was.

    Experiments of one folder are one study: their runs stand in one table.
    """
    choices = _root_.hydra.runtime.choices
    experiment = str(choices.get("experiment") or "runs")
    return str(choices.get("sweep") or experiment.rpartition("/")[0] or experiment).replace("/", "_")


def run_name(*, _root_: DictConfig) -> str:
    """The choices in words and the content in eight hexadecimal digits: the same run has the same name."""
    choices = _root_.hydra.runtime.choices
    words = [str(choices[group]).replace("/", "_") for group in NAMING if choices.get(group)]
    return "-".join([*words, content_hash(_root_)[:8]])


def content_hash(config: DictConfig) -> str:
    """SHA-256 of what determines a run apart from its seed.

    Equal for two spellings of the same configuration; seed, places, loggers and what only changes speed do not enter.
    """
    unseeded = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.set_struct(unseeded, False)
    unseeded.seed = 0
    resolved = OmegaConf.to_container(unseeded, resolve=True, throw_on_missing=False)
    assert isinstance(resolved, dict)
    content = content_of({str(key): value for key, value in resolved.items()})
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def content_of(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that determines a run apart from its seed."""
    content = without(resolved, NOT_CONTENT)
    _drop_place_of_store(content["teachers"])
    content["stages"] = json.dumps(content.get("stages"))  # whose order matters, unlike that of options
    return content


def _drop_place_of_store(teachers: dict[str, Any]) -> None:
    """Stored features differ from fresh ones by their dtype, wherever they lie."""
    if teachers.pop("store", None) is None:
        teachers.pop("store_dtype", None)


def whole(value: Any) -> Any:
    """A whole number however it is spelled, 7 of 007 and of 7.0; anything else as it is, for `check` to refuse."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def to_plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as resolved plain dicts and lists, without Hydra's own node."""
    keys = [str(key) for key in config if key != "hydra"]
    spelled = OmegaConf.masked_copy(config, keys)
    if "seed" in spelled:
        spelled.seed = whole(spelled.seed)
    plain = OmegaConf.to_container(spelled, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def smoke_image_size(*, _root_: DictConfig) -> int:
    """Side in pixels of a student's images that small teachers can match, in whole patches.

    Stages that enlarge the student's images more than some teacher's, as PHI-S's do, begin with half of it.
    """
    chosen = OmegaConf.select(_root_, "student.patch_size")
    patch = chosen if isinstance(chosen, int) and chosen > 0 else PATCH  # what is no patch is refused by name later
    stages = [stage for stage in (OmegaConf.select(_root_, "stages") or {}).values() if isinstance(stage, DictConfig)]
    partitions = [part for stage in stages for part in (stage.get("partitions") or {}).values() if part]
    outgrown = any(part.get("scale", 1) > _smallest(part.get("teachers")) for part in partitions)
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
