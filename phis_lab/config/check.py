"""Checks every option against the signature of what it configures, before anything is built or loaded."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_type_hints

from hydra.utils import get_object
from pydantic import ConfigDict, PydanticUndefinedAnnotation, TypeAdapter, ValidationError

from phis_lab.config.plan import read_stages
from phis_lab.config.teachers import split

HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}


def check(config: Mapping[str, Any]) -> None:
    """Refuse unknown options and values of the wrong type.

    Args:
        config: resolved configuration as plain dicts and lists.

    Raises:
        ValueError: naming each option by its dotted path, with the value and what would be accepted.
    """
    problems = list(_problems(config, ""))
    try:
        members, _ = split(config.get("teachers", {}))
        read_stages(config.get("stages"), members)
    except ValueError as refused:
        problems.append(str(refused))
    if problems:
        raise ValueError("The configuration was refused:\n  " + "\n  ".join(problems))


def _problems(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, list):
        for position, child in enumerate(node):
            yield from _problems(child, f"{path}[{position}]")
    if not isinstance(node, Mapping):
        return
    target = node.get("_target_")
    if target is not None:
        yield from _check_target(get_object(str(target)), node, path)
    for key, child in node.items():
        yield from _problems(child, f"{path}.{key}" if path else str(key))


def _check_target(target: Callable[..., Any], node: Mapping[str, Any], path: str) -> Iterator[str]:
    parameters = inspect.signature(target).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    hints = _hints(target)
    for key, value in node.items():
        if key in HYDRA_KEYS:
            continue
        if key not in parameters:
            yield f"{path}.{key}: no such option; there are: {', '.join(parameters)}"
        elif key in hints and not _is_node(value):
            yield from _check_value(hints[key], value, f"{path}.{key}")


def _check_value(hint: Any, value: Any, path: str) -> Iterator[str]:
    try:
        TypeAdapter(
            hint, config=None if _has_own_config(hint) else ConfigDict(arbitrary_types_allowed=True)
        ).validate_python(value)
    except ValidationError as error:
        reasons = "; ".join(detail["msg"] for detail in error.errors())
        yield f"{path}={value!r}: {reasons}"
    except PydanticUndefinedAnnotation:
        return


def _has_own_config(hint: Any) -> bool:
    return inspect.isclass(hint) and hasattr(hint, "__dataclass_fields__")


def _is_node(value: Any) -> bool:
    """Whether a value is, or holds, configuration of another object, which is checked on its own."""
    if isinstance(value, Mapping):
        return "_target_" in value or any(_is_node(child) for child in value.values())
    return isinstance(value, list) and any(_is_node(child) for child in value)


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    owner = target.__init__ if inspect.isclass(target) else target
    return get_type_hints(owner, include_extras=True)
