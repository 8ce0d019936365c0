"""The one place where configuration becomes objects."""

from collections.abc import Callable, Mapping
from typing import Any

import hydra_zen
from hydra.errors import InstantiationException
from hydra_zen.third_party.pydantic import pydantic_parser

from phis_lab.normalizers import Normalizer


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


def build_normalizers(
    node: Mapping[str, Any], dims: Mapping[str, tuple[int | None, int | None]]
) -> tuple[dict[str, Normalizer], dict[str, Normalizer]]:
    """The normalisers of spatial features by teacher, and those of summaries where the method has any.

    Args:
        node: `normalizer` of the configuration.
        dims: channels (summary, spatial) of each teacher.

    Raises:
        ValueError: the constructor refused an option.
    """

    def of_kind(kind: int) -> dict[str, Normalizer]:
        return {
            name: build(node, "normalizer", _partial_=False, dim=channels[kind])
            for name, channels in dims.items()
            if channels[kind] is not None
        }

    summaries = {name: normalizer for name, normalizer in of_kind(0).items() if normalizer.normalizes_summary}
    return of_kind(1), summaries


def _converting(target: Callable[..., Any]) -> Callable[..., Any]:
    """Our own constructors convert and check their arguments; others' annotations were not written for that."""
    return pydantic_parser(target) if target.__module__.startswith("phis_lab") else target
