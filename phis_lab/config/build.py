"""The one place where configuration becomes objects."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import hydra_zen
from hydra.errors import InstantiationException
from hydra.utils import get_object
from hydra_zen.third_party.pydantic import pydantic_parser
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from phis_lab.normalizers import Compression, FeatureMap, TeacherSpace
from phis_lab.precision import Products
from phis_lab.refusals import REFUSALS, sentence

Dims = Mapping[str, tuple[int | None, int | None]]
"""Channels (summary, spatial) by teacher; None for a kind that it lacks."""

WRONG_ARGUMENTS = re.compile(r"unexpected keyword argument|required (positional|keyword-only) argument|multiple values")
"""What Python says where arguments do not fit a signature, such as those that a model passes on to its layers."""


def build(node: Mapping[str, Any], path: str, **arguments: Any) -> Any:
    """Instantiate a node of the configuration; values are converted to the annotated types.

    Args:
        node: a mapping with a `_target_`.
        path: dotted name of the node, for the message.
        arguments: what is known only now (a folder, a width).

    Raises:
        ValueError: the constructor refused a value; the message begins with the node's name.
    """
    try:
        return hydra_zen.instantiate(node, **arguments, _target_wrapper_=_converting, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            raise ValueError("; ".join(_of_value(path, detail) for detail in cause.errors())) from cause
        if isinstance(cause, REFUSALS):
            raise ValueError(f"{path}: {sentence(cause)}") from cause
        if isinstance(cause, TypeError) and WRONG_ARGUMENTS.search(str(cause)):
            raise ValueError(f"{path}: {cause}") from cause
        target = str(node["_target_"])
        if cause is not None and not target.startswith(("phis_lab.", "torch.", "timm.")):  # a user's own
            raise ValueError(f"{path}._target_={target} raised {type(cause).__name__}: {cause}") from cause
        raise


def build_spaces(
    node: Mapping[str, Any], dims: Dims, width: int, products: Products = "float32"
) -> dict[str, TeacherSpace]:
    """How an arm matches each teacher of a set.

    Args:
        node: `normalizer` of the configuration.
        dims: channels (summary, spatial) of each teacher.
        width: of the student, to which a compression maps.
        products: how targets are multiplied.

    Raises:
        ValueError: the constructor refused an option.
    """
    method = get_object(node["_target_"])
    into = {"out_dim": width} if inspect.isclass(method) and issubclass(method, Compression) else {}

    def of_channels(dim: int | None) -> FeatureMap | None:
        return None if dim is None else build(node, "normalizer", _partial_=False, dim=dim, **into)

    own_summary = getattr(method, "summary_map", "none") == "own"
    return {
        name: TeacherSpace(name, of_channels(spatial), of_channels(summary) if own_summary else None, products)
        for name, (summary, spatial) in dims.items()
    }


def target_dims(spaces: Mapping[str, TeacherSpace], dims: Dims) -> Dims:
    """Channels (summary, spatial) of what the student is asked to match.

    Raises:
        ValueError: one map is for both kinds of a teacher's features, and these differ in width.
    """
    return {name: spaces[name].target_dims(*channels) for name, channels in dims.items()}


def _of_value(path: str, detail: ErrorDetails) -> str:
    """What pydantic says of one argument, with its dotted name."""
    name = ".".join([path, *map(str, detail["loc"])])
    return (
        f"{name} is needed" if detail["type"] == "missing_argument" else f"{name}={detail['input']!r}: {detail['msg']}"
    )


def _converting(target: Callable[..., Any]) -> Callable[..., Any]:
    """Our own constructors convert and check their arguments; others' annotations were not written for that."""
    return pydantic_parser(target) if target.__module__.startswith("phis_lab") else target
