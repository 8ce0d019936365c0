"""Teachers at other image sizes than their own."""

import logging
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import ceil
from typing import Any

import torch
from torch import nn

from phis_lab.features import Grid

log = logging.getLogger(__name__)

TRIALS = 8


def check_image_size(size: int, step: int, unit: str = "") -> None:
    """Raises ValueError, naming `unit` and the nearest right sizes, unless `size` is a multiple of `step`."""
    if size < step or size % step:
        raise ValueError(
            f"image_size must be a multiple of {unit}{step}, got {size}, whose last pixels would lie in no patch; "
            f"{nearest_sizes(size, step)}"
        )


def nearest_sizes(size: int, step: int) -> str:
    """Says which multiples of `step` are nearest to a size that is none.

    >>> nearest_sizes(64, 14)
    'the nearest are 56 and 70'
    """
    below, above = size // step * step, (size // step + 1) * step
    return f"the nearest are {below} and {above}" if below > 0 else f"the smallest is {step}"


def nearest_working(size: int, step: int, trial: Callable[[int], object]) -> int | None:
    """Returns the multiple of `step` nearest to `size` of which `trial` raises no ValueError, None if all do."""
    around = (size + sign * distance * step for distance in range(1, TRIALS) for sign in (-1, 1))
    return next((near for near in around if near >= step and works(partial(trial, near))), None)


def works(trial: Callable[[], object]) -> bool:
    """Whether `trial` raises no ValueError."""
    try:
        trial()
    except ValueError:
        return False
    return True


def at_image_size(option: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Returns a teacher's options with its `image_size` times `factor`, in whole cells of its features.

    Args:
        option: `_target_` and the constructor's arguments.
        factor: above 0.
    """
    if factor == 1:
        return dict(option)
    step = pkgutil.resolve_name(option["_target_"]).size_step(option) or 1
    return {**option, "image_size": step * max(1, round(option["image_size"] * factor / step))}


def share_parameters(first: nn.Module, second: nn.Module) -> None:
    """Makes `second`, the same network at another image size, hold the parameters of `first` where they are equal."""
    known = dict(first.named_parameters())
    for name, parameter in list(second.named_parameters()):
        if name in known and torch.equal(known[name].to(parameter.device), parameter):
            owner, _, leaf = name.rpartition(".")
            setattr(second.get_submodule(owner), leaf, known[name])


def at_smallest_sizes(options: Mapping[str, Mapping[str, Any]], grids: Iterable[Grid]) -> dict[str, dict[str, Any]]:
    """Returns the options of a set with each `image_size` lowered as far as the students' grids allow, and says so.

    A teacher's grid stays at least as fine as the finest student grid wherever it was; no size is raised. The
    features are those of a smaller image, so runs with and without this are not comparable.

    Args:
        options: by name, the set's options as plain dicts: `_target_` and the constructor's arguments.
        grids: token grids of the students.
    """
    side = max(max(grid) for grid in grids)
    return {name: _at_smallest_size(name, option, side) for name, option in options.items()}


def _at_smallest_size(name: str, option: Mapping[str, Any], side: int) -> dict[str, Any]:
    teacher = pkgutil.resolve_name(option["_target_"])
    before, stride, step = option["image_size"], teacher.stride(option), teacher.size_step(option)
    if stride is None or step is None:
        log.info("teacher %s stays at %d px: the stride of its features is not known beforehand", name, before)
        return dict(option)
    size = smallest_size(side, stride, step)
    if size >= before:
        return dict(option)
    fine, coarse = size // stride, before // stride
    log.info(
        "teacher %s sees %d px instead of %d (grid %d x %d instead of %d x %d): its features are those of a smaller "
        "image; not comparable with runs at %d",
        *(name, size, before, fine, fine, coarse, coarse, before),
    )
    return {**option, "image_size": size}


def smallest_size(side: int, stride: int, step: int) -> int:
    """Returns the smallest multiple of `step` at which a grid of cells `stride` apart has `side` rows.

    >>> smallest_size(side=4, stride=8, step=32)
    32
    >>> smallest_size(side=5, stride=14, step=14)
    70
    """
    return step * max(1, ceil(side * stride / step))
