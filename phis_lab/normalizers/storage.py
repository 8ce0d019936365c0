"""Normalisers in safetensors files: statistics as tensors, class and options as metadata."""

import inspect
import json
from os import PathLike
from typing import TypeVar

from torch import nn

_M = TypeVar("_M", bound=nn.Module)


def write_normalizer(normalizer: nn.Module, path: str | PathLike[str]) -> None:
    """Writes the state, the class' name and each constructor argument, kept as attributes of the same names."""
    from safetensors.torch import save_file  # noqa: PLC0415  torch alone must do for all the rest

    method = type(normalizer)
    options = {name: getattr(normalizer, name) for name in inspect.signature(method).parameters}
    metadata = {"normalizer": method.__name__, "options": json.dumps(options)}
    save_file(normalizer.state_dict(), path, metadata=metadata)


def read_normalizer(path: str | PathLike[str], family: type[_M]) -> _M:
    """Builds the class that a file names, out of a family of classes, and restores its state.

    Raises:
        ValueError: the file holds no normaliser, or one of another class.
    """
    from safetensors import safe_open  # noqa: PLC0415

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    methods = {method.__name__: method for method in _derived(family) if not inspect.isabstract(method)}
    name = metadata.get("normalizer")
    if name not in methods:
        raise ValueError(f"{path} must hold one of {sorted(methods)}, got {name}")
    normalizer = methods[name](**json.loads(metadata["options"]))
    normalizer.load_state_dict(state)
    return normalizer


def _derived(family: type[_M]) -> list[type[_M]]:
    """A class and all that derive from it."""
    return [family, *(method for child in family.__subclasses__() for method in _derived(child))]
