"""The classes that a configuration names: that they can be imported."""

import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any


def refuse_targets(config: Mapping[str, Any]) -> None:
    """Refuse classes that cannot be imported.

    Args:
        config: resolved configuration as plain dicts and lists.

    Raises:
        ValueError: naming each by its dotted path, with the nearest name where there is one.
    """
    if problems := list(_problems(config, ())):
        raise ValueError("The configuration was refused:\n  " + "\n  ".join(problems))


def is_own_code_missing(config: Mapping[str, Any]) -> bool:
    """Whether a class of another package than this one cannot be imported."""
    return any("._target_='phis_lab." not in problem for problem in _problems(config, ()))


def _problems(node: Any, path: tuple[str, ...]) -> Iterator[str]:
    children = enumerate(node) if isinstance(node, list) else node.items() if isinstance(node, Mapping) else ()
    if isinstance(node, Mapping) and "_target_" in node:
        name = ".".join(path)
        try:
            located(node["_target_"])
        except ValueError as error:
            yield f"{name}._target_={node['_target_']!r} cannot be imported: {error}"
    for key, child in children:
        yield from _problems(child, (*path, str(key)))


def located(target: object) -> Any:
    """What a dotted name stands for.

    Raises:
        ValueError: it names nothing, or its module cannot be imported; the message says which part is wrong.
    """
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")) or "." not in target:
        raise ValueError("a class is named as package.module.Class")
    parts = target.split(".")
    found: Any = None
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        if hasattr(found, parts[count - 1]):
            found = getattr(found, parts[count - 1])
            continue
        try:
            found = import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise ValueError(f"{name} needs the module {error.name}, which is not installed") from error
            raise ValueError(_nothing(found, parts, count)) from error
        except Exception as error:
            raise ValueError(f"importing {name} fails: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ValueError(f"this is a {type(found).__name__}, and a class or a function is wanted")
    return found


def _nothing(found: Any, parts: list[str], count: int) -> str:
    """What to say where a module or a class holds nothing of a name."""
    if found is None:
        return f"there is no package {parts[0]} here; install it, or put its folder on PYTHONPATH"
    parent, name = ".".join(parts[: count - 1]), parts[count - 1]
    near = difflib.get_close_matches(name, [each for each in dir(found) if not each.startswith("_")], n=1)
    low = [each for each in dir(found) if each.lower() == name.lower()]
    guess = f"; did you mean {parent}.{(low or near)[0]}?" if low or near else ""
    return f"{parent} holds no {name}{guess}"
