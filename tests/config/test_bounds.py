"""Every number that an option file can hold is refused where it makes no sense, by the option's name."""

import inspect
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from phis_lab.config.build import build
from phis_lab.config.check import problems_of_part

CONF = Path(__file__).resolve().parents[2] / "conf"
BAD = {"zero": 0, "negative": -1, "nan": math.nan, "infinite": math.inf, "huge": 10**12}
LATER = {"dim": 8, "out_dim": 4, "in_dim": 8, "depth": 3, "widest": 8, "folder": "."}
"""What the run itself gives."""
MEANINGFUL = {
    "zero": {
        "seed", "workers", "shift", "weight_decay", "warmup", "final", "frozen_body_steps", "warmup_steps", "memory_gb",
        "momentum", "momentum_start", "momentum_end", "probability", "cosine_weight", "gamma", "floor", "drop_path",
        "hidden_layers", "near_classes", "local_weight", "global_weight",
    },
    "huge": {
        "lr",  # diverges, and is recorded so
        "weight_decay", "clip", "temperature", "c", "rate", "spatial_scale", "layer_scale", "beta",
        "local_weight", "global_weight", "epsilon", "min_deviation",
    },
}  # fmt: skip
"""Options for which such a number says something: nothing of it, or as much as one likes."""


@cache
def targets() -> dict[str, dict[str, Any]]:
    """One node of an option file for each class of this package."""
    found: dict[str, dict[str, Any]] = {}

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if str(node.get("_target_")).startswith("phis_lab"):
                found.setdefault(node["_target_"], node)
            for child in node.values():
                walk(child)

    for file in sorted(CONF.glob("*/**/*.yaml")):
        walk(OmegaConf.to_container(OmegaConf.load(file)))
    return found


def is_number(hint: Any) -> bool:
    return hint in (int, float) or any(map(is_number, get_args(hint) if hint is not bool else ()))


def is_scalar(hint: Any) -> bool:
    """Whether a number stands alone, and not in a list."""
    if hint in (int, float):
        return True
    return not hasattr(hint, "__len__") and any(
        is_scalar(kind) for kind in get_args(hint) if not str(hint).startswith(("tuple", "dict", "collections"))
    )


def numbers() -> Iterator[tuple[str, str]]:
    for name in targets():
        target = get_object(name)
        hints = get_type_hints(target.__init__, include_extras=True)
        for parameter in inspect.signature(target).parameters:
            if (parameter not in LATER or parameter in targets()[name]) and is_scalar(hints.get(parameter)):
                yield name, parameter


def refusal(name: str, parameter: str, value: float) -> str | None:
    node = {key: each for key, each in targets()[name].items() if "${" not in str(each) and each != "???"}
    node |= {parameter: value}
    if problems := problems_of_part(node, "part"):
        return problems[0]
    if not name.startswith(("phis_lab.normalizers", "phis_lab.losses")):
        return None  # whose numbers are annotated, so that what is not refused is accepted
    accepted = inspect.signature(get_object(name)).parameters
    later = {key: each for key, each in LATER.items() if key in accepted}
    if "spatial_loss" in accepted:
        node["spatial_loss"] = {"_target_": "phis_lab.losses.MSE"}
    try:
        build(node | {"_partial_": False}, "part", **later)
    except ValueError as refused:
        return str(refused)
    return None


@pytest.mark.parametrize("kind", BAD)
def test_every_number_of_every_option_file_has_bounds(kind: str) -> None:
    accepted, unnamed = set(), set()
    for name, parameter in numbers():
        said = refusal(name, parameter, BAD[kind])
        if said is None and parameter not in MEANINGFUL.get(kind, ()):
            accepted.add((name, parameter))
        elif said is not None and parameter.partition("_")[0] not in said:
            unnamed.add((name, parameter, said))
    assert accepted == set()
    assert unnamed == set()


def test_most_parts_have_numbers() -> None:
    found = {parameter for _, parameter in numbers()}
    assert {"image_size", "max_steps", "lr", "k", "c", "depth", "batch_size", "trials", "momentum", "beta"} <= found
