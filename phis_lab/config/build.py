"""The one place where configuration becomes objects."""

from collections.abc import Callable, Mapping
from typing import Any

import hydra_zen
from hydra.errors import InstantiationException
from hydra_zen.third_party.pydantic import pydantic_parser


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
        if isinstance(cause, ValueError | FileNotFoundError | ModuleNotFoundError):
            raise ValueError(f"{path}: {cause}") from cause
        raise


def _converting(target: Callable[..., Any]) -> Callable[..., Any]:
    """Our own constructors convert and check their arguments; others' annotations were not written for that."""
    return pydantic_parser(target) if target.__module__.startswith("phis_lab") else target
