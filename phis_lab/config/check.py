"""Checks every option against what reads it, before anything is built or loaded."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from hydra.utils import get_object
from pydantic import ConfigDict, PydanticUndefinedAnnotation, TypeAdapter, ValidationError

from phis_lab.bounds import Supplied
from phis_lab.config.nodes import PLAIN, Run, bare, hints_of, is_union, parameters_of, refuse_targets
from phis_lab.config.stage_options import read_stages
from phis_lab.config.teachers import RESERVED, split

HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}
WAYS = {
    "evaluation.data": ". An option of data goes there by evaluation.data=NAME on the command line, and by "
    "`override /data@evaluation.data: NAME` in the defaults of a file"
}
"""Parts that a group of another name gives, and how one chooses them."""
SCALARS = (bool, int, float, str)


def check(config: Mapping[str, Any]) -> None:
    """Refuse options that nothing reads, parts of another kind than is wanted, and wrong values.

    Args:
        config: resolved configuration as plain dicts and lists.

    Raises:
        ValueError: naming each option by its dotted path, with the value and what would be accepted.
    """
    refuse_targets(config)
    problems = list(_Check(config).run())
    try:
        members, _ = split(config.get("teachers", {}))
        read_stages(config.get("stages"), members)
    except ValueError as refused:
        problems += [line for line in str(refused).split("; ") if line not in problems]
    if problems:
        raise ValueError("The configuration was refused:\n  " + "\n  ".join(problems))


def problems_of_part(node: Mapping[str, Any], path: str) -> list[str]:
    """What is wrong with the options of one part, wherever it stands."""
    return list(_Check({}).part(Any, node, path, ()))


class _Check:
    """One walk over a configuration, along the types of what reads it."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.known = list(_known(config, ""))

    def run(self) -> Iterator[str]:
        yield from self.fields(hints_of(Run), self.config, "")

    def fields(self, hints: Mapping[str, Any], node: Mapping[str, Any], path: str) -> Iterator[str]:
        """Keys and values of a node, of which exactly `hints` can be read."""
        for key, value in node.items():
            name = f"{path}.{key}" if path else str(key)
            if key in hints:
                yield from self.value(hints[key], value, name)
            else:
                there = ", ".join(map(str, hints)) or "none"
                yield f"{name}: no such option; there are: {there}{self.guess(name, hints)}"

    def value(self, hint: Any, value: Any, path: str, supplied: Sequence[str] = ()) -> Iterator[str]:
        """One value, a collection of values or a part."""
        hint, notes = bare(hint, value)
        supplied = next((note.arguments for note in notes if isinstance(note, Supplied)), supplied)
        origin, arguments = get_origin(hint), get_args(hint)
        if isinstance(value, Mapping) and "_target_" in value:
            yield from self.part(hint, value, path, supplied)
        elif path == "teachers" and isinstance(value, Mapping):
            yield from self.teachers(arguments[1], value)
        elif hint in PLAIN and isinstance(value, Mapping):
            yield from self.fields(hints_of(hint), value, path)
        elif inspect.isclass(origin) and issubclass(origin, Mapping) and isinstance(value, Mapping):
            for key, child in value.items():
                yield from self.value(arguments[1], child, f"{path}.{key}")
        elif isinstance(value, list) and any(isinstance(child, Mapping) for child in value):
            for position, child in enumerate(value):
                yield from self.value(arguments[0] if arguments else Any, child, f"{path}[{position}]")
        elif _is_part(hint):
            wanted = getattr(arguments[-1] if arguments else hint, "__name__", str(hint))
            guess = WAYS.get(path) or self.guess(path, ())
            yield f"{path}={value!r}: a {wanted} is wanted, a node with the _target_ of one{guess}"
        else:
            yield from _problems_of_value(hint, value, path, notes)

    def teachers(self, teacher: Any, node: Mapping[str, Any]) -> Iterator[str]:
        """The set: its members, among its own options, whose values `split` checks."""
        for name, value in node.items():
            if name not in RESERVED and value is not None:
                yield from self.value(teacher, value, f"teachers.{name}")

    def part(self, hint: Any, node: Mapping[str, Any], path: str, supplied: Sequence[str]) -> Iterator[str]:
        """A node that names its class: whether it is of the kind that is wanted, and takes these options."""
        try:
            target = get_object(str(node["_target_"]))
        except Exception as error:  # whatever the user's module raises
            yield f"{path}._target_={node['_target_']!r} cannot be imported: {str(error).strip().splitlines()[0]}"
            return
        kinds = _kinds(hint)
        if kinds and not _makes(target, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            yield f"{path}._target_={node['_target_']!r} is no {wanted}, which is wanted here"
            return
        options = {key: value for key, value in node.items() if key not in HYDRA_KEYS}
        for key in [key for key in options if key in supplied]:
            yield f"{path}.{key}={options.pop(key)!r}: the run itself sets this{self.guess(f'{path}.{key}', ())}"
        parameters = parameters_of(target)
        if parameters is None:
            return
        hints = hints_of(target)
        known = {name: hints.get(name, Any) for name in parameters if name not in supplied}
        yield from self.fields(known, options, path)

    def guess(self, name: str, siblings: Mapping[str, Any] | Sequence[str]) -> str:
        """What was perhaps meant: an option of the same node, or one of that name elsewhere."""
        node, _, key = name.rpartition(".")
        near = [f"{node}.{found}" if node else found for found in get_close_matches(key, map(str, siblings), n=1)]
        others = [other for other in self.known if other != name and not other.startswith(f"{name}.")]
        leaves = {other.rpartition(".")[2]: other for other in reversed(others)}
        found = [*near, *(leaves[leaf] for leaf in get_close_matches(key, leaves, n=1, cutoff=0.75))]
        return f". Did you mean {found[0]}?" if found else ""


def _known(node: Any, path: str) -> Iterator[str]:
    """Dotted names of all options that there are, those with defaults of their own included."""
    if not isinstance(node, Mapping):
        return
    if path == "teachers":
        yield from (f"teachers.{name}" for name in RESERVED)
    names: Sequence[str] = [str(key) for key in node if not path.startswith("teachers")]
    if "_target_" in node:
        try:
            names = list(parameters_of(get_object(str(node["_target_"]))) or ())
        except Exception:  # is refused where it is checked
            return
    yield from (f"{path}.{name}" for name in names if path and name not in HYDRA_KEYS)
    for key, child in node.items():
        yield from _known(child, f"{path}.{key}" if path else str(key))


def _problems_of_value(hint: Any, value: Any, path: str, notes: Sequence[Any]) -> Iterator[str]:
    whole: Any = Annotated[hint, *notes] if notes else hint
    if not all(map(math.isfinite, _floats(value))):
        yield f"{path}={value!r}: a finite number is wanted"
        return
    own = inspect.isclass(hint) and (is_dataclass(hint) or hasattr(hint, "__pydantic_config__"))
    try:
        adapter = TypeAdapter(whole, config=None if own else ConfigDict(arbitrary_types_allowed=True))
        adapter.validate_python(value, strict=True if isinstance(value, SCALARS) else None)
    except ValidationError as error:
        reasons = "; ".join(dict.fromkeys(detail["msg"] for detail in error.errors()))
        near = get_close_matches(str(value), _words(hint), n=1)
        yield f"{path}={value!r}: {reasons}" + (f". Did you mean {near[0]}?" if near else "")
    except PydanticUndefinedAnnotation:
        return


def _words(hint: Any) -> list[str]:
    """The words that an option can be."""
    if get_origin(hint) is Literal:
        return [word for word in get_args(hint) if isinstance(word, str)]
    return [word for kind in get_args(hint) for word in _words(kind)]


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for child in value.values() if isinstance(value, Mapping) else value:
            yield from _floats(child)


def _is_part(hint: Any) -> bool:
    """Whether only a node with a `_target_` can become such a value."""
    if is_union(hint):
        return all(_is_part(kind) for kind in get_args(hint))
    if get_origin(hint) is not None:
        return get_origin(hint) is not Literal and get_origin(hint).__name__ == "Callable"
    return inspect.isclass(hint) and hint.__module__.startswith("phis_lab") and hint not in PLAIN


def _kinds(hint: Any) -> tuple[type, ...]:
    """The classes of which a part must be; empty where that cannot be known."""
    if is_union(hint):
        return tuple(kind for each in get_args(hint) for kind in _kinds(each))
    if get_origin(hint) is not None:
        made = get_args(hint)[-1] if get_origin(hint).__name__ == "Callable" else None
        return _kinds(made) if made is not None else ()
    if hint is Any or not inspect.isclass(hint) or getattr(hint, "_is_protocol", False) or hint is type(None):
        return ()
    return (hint,)


def _makes(target: Callable[..., Any], kinds: tuple[type, ...]) -> bool:
    """Whether a class is one of these, or a function says by its annotations that it returns one."""
    try:
        made = target if inspect.isclass(target) else get_type_hints(target).get("return")
    except (TypeError, NameError):  # of builtin functions, or of names that only a type checker knows
        return False
    return inspect.isclass(made) and issubclass(made, kinds)
