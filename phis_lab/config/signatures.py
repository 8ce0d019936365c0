"""What reads a node of the configuration, and which options that has."""

import inspect
import types
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig
from torch import nn

from phis_lab.bounds import Supplied
from phis_lab.config.nodes import PLAIN, Run
from phis_lab.config.targets import located


def options_of(config: DictConfig, path: str) -> dict[str, Any]:
    """The options of what reads a node, and what they are by default.

    Args:
        config: composed.
        path: dotted name of the node.

    Returns:
        The default by the option's name, `inspect.Parameter.empty` where there is none. Nothing where a node names no
        class, or one that cannot be imported, which is refused elsewhere; what the run itself sets is left out.
    """
    node: Any = config
    hint: Any = Run
    notes: list[Any] = []
    try:
        for word in path.split("."):
            reader, arguments = _reader(node, hint), get_args(hint)
            below = hints_of(reader).get(word, Any) if reader is not None else arguments[-1] if arguments else Any
            node = node._get_node(word)
            hint, notes = bare(below, node)
        reader = _reader(node, hint)
        parameters = {} if reader is None else inspect.signature(reader).parameters
    except Exception:  # whatever the user's module raises
        return {}
    supplied = next((note.arguments for note in notes if isinstance(note, Supplied)), ())
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {name: parameter for name, parameter in parameters.items() if parameter.kind in by_name}
    return {name: parameter.default for name, parameter in named.items() if name not in supplied}


def _reader(node: Any, hint: Any) -> Callable[..., Any] | None:
    """The class that a node names, or the plain one as which it is read."""
    if isinstance(node, DictConfig) and "_target_" in node:
        found: Callable[..., Any] = located(node._target_)
        return found
    return hint if hint in PLAIN else None


def parameters_of(target: Callable[..., Any]) -> list[str] | None:
    """Names that a constructor takes; None where it takes any."""
    if inspect.isclass(target) and target.__init__ is nn.Module.__init__:  # takes none, whatever it declares
        return []
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return list(parameters)


def hints_of(target: Callable[..., Any]) -> dict[str, Any]:
    """The types of what a constructor takes, with what is annotated to them."""
    if inspect.isclass(target) and target in PLAIN:
        known = get_type_hints(target, include_extras=True)
        return {field.name: known[field.name] for field in fields(target)}
    return get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)


def bare(hint: Any, value: Any) -> tuple[Any, list[Any]]:
    """A type without what is annotated to it, and without None where there is a value; and the annotations."""
    notes: list[Any] = []
    while True:
        if get_origin(hint) is Annotated:
            hint, *found = get_args(hint)
            notes += found
        elif is_union(hint) and value is not None and type(None) in get_args(hint):
            rest = [kind for kind in get_args(hint) if kind is not type(None)]
            hint = rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007  of a list
        else:
            return hint, notes


def is_union(hint: Any) -> bool:
    """Whether a type is one of several."""
    return get_origin(hint) in (Union, types.UnionType)
