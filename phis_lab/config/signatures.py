"""What a constructor says of itself: its docstring, and every argument with type, range and default."""

import inspect
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_SECTION = re.compile(r"(?P<name>Args|Arguments|Parameters|Attributes|Source|[A-Z]\w+):$")
_ENTRY = re.compile(r"\*{0,2}(?P<names>\w+(?:, \w+)*)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)")
_ARGUMENTS = ("Args", "Arguments", "Parameters", "Attributes")
_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True)
class Argument:
    """One option of a part.

    Args:
        name: dotted, as it is typed on a command line.
        type: in words, such as `int or null`.
        range: in words; empty where any value of the type will do.
        default: what it is unless it is set; None where that is null.
        needed: whether it has no default.
        about: what the docstring, or the option file, says of it.
    """

    name: str
    type: str
    range: str
    default: Any
    needed: bool
    about: str


def arguments_of(
    target: Callable[..., Any], path: str, given: Mapping[str, Any], left_out: tuple[str, ...], said: Mapping[str, str]
) -> list[Argument]:
    """Every argument that an option can set.

    Args:
        target: class or function.
        path: dotted name of the node.
        given: values of the option file.
        left_out: arguments that the run itself sets.
        said: what the option file says of an argument, for those that the docstring does not name.
    """
    from phis_lab.config.nodes import parameters_of  # noqa: PLC0415  torch, which lists of options can do without

    parameters = inspect.signature(target).parameters
    names = parameters_of(target)
    named = [name for name in parameters if names is None or name in names]
    named = [name for name in named if parameters[name].kind not in _COLLECTING and name not in left_out]
    hints, told = _hints(target), arguments_told(target)
    found = []
    for name in named:
        value = given.get(name, parameters[name].default)
        needed = value is inspect.Parameter.empty or value == "???"
        hint, about = hints.get(name, Any), told.get(name) or said.get(name, "")
        default = None if needed else plain(value)
        found.append(Argument(f"{path}.{name}", spoken_type(hint), spoken_range(hint), default, needed, about))
    return found


def _hints(target: Callable[..., Any]) -> Mapping[str, Any]:
    from phis_lab.config.nodes import hints_of  # noqa: PLC0415  torch

    try:
        return hints_of(target)
    except (NameError, TypeError):  # names that only a type checker knows
        return {}


def plain(value: Any) -> Any:
    """A default as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(child) for child in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__name__", None) or repr(value)


def spoken_type(hint: Any) -> str:
    """A type in words: `int or null`, `radio or dino`, `list of float`, the name of a class."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is None:
        return _PLAIN.get(hint) or str(getattr(hint, "__name__", hint))
    if origin is Annotated:
        return spoken_type(arguments[0])
    if origin is Literal:
        return " or ".join("null" if word is None else str(word) for word in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(spoken_type, sorted(arguments, key=lambda kind: kind is type(None)))))
    return _collection(origin, arguments)


def _collection(origin: Any, arguments: tuple[Any, ...]) -> str:
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        return f"[{', '.join(map(spoken_type, arguments))}]"
    if getattr(origin, "__name__", "") == "Callable":
        return f"maker of {spoken_type(arguments[-1])}"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"{spoken_type(arguments[1])} by name"
    return f"list of {spoken_type(arguments[0])}"


_PLAIN: Mapping[Any, str] = {
    type(None): "null",
    Any: "any value",
    inspect.Parameter.empty: "any value",
    dict: "values by name",
    list: "list",
    tuple: "list",
}


def spoken_range(hint: Any) -> str:
    """Which values of a type are accepted, in words; empty where all are."""
    return "; ".join(dict.fromkeys(_ranges(hint, "")))


def _ranges(hint: Any, each: str) -> Iterator[str]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        hint, *notes = arguments
        text = _bounds([mark for note in notes for mark in (note, *getattr(note, "metadata", ()))])
        yield from [f"{each}{text}"] if text else []
        yield from _ranges(hint, each)
    elif origin is not None and origin is not Literal and getattr(origin, "__name__", "") != "Callable":
        inner = each if origin in (Union, types.UnionType) else "each "
        for kind in arguments:
            yield from _ranges(kind, inner)


def _bounds(notes: Sequence[Any]) -> str:
    """`0 to 1`, `above 0`, `at least 0, below 1`, `1 or more of them`."""
    pairs = ((name, getattr(note, name, None)) for note in notes for name in (*_BOUNDS, "min_length"))
    ends = {name: end for name, end in pairs if isinstance(end, int | float) and math.isfinite(end)}
    length = ends.pop("min_length", None)
    texts = [] if length is None else [f"{length} or more of them"]
    if ends.keys() == {"ge", "le"}:
        return ", ".join([*texts, f"{_number(ends['ge'])} to {_number(ends['le'])}"])
    return ", ".join([*texts, *(f"{_BOUNDS[name]} {_number(ends[name])}" for name in _BOUNDS if name in ends)])


def _number(value: float) -> str:
    """`1,000`, `0.5`, and `1e9` for a limit that is round and far away."""
    if not float(value).is_integer():
        return f"{value:g}"
    exponent = len(str(int(value))) - 1
    return f"1e{exponent}" if exponent >= 6 and value == 10**exponent else f"{int(value):,}"


def summary(target: Callable[..., Any]) -> str:
    """The first paragraph of a docstring."""
    text = inspect.getdoc(target) or ""
    return " ".join(text.partition("\n\n")[0].split())


def paper(target: Callable[..., Any]) -> str:
    """What the docstring names as its source; empty where it does not."""
    return " ".join(dict(_sections(inspect.getdoc(target) or "")).get("Source", "").split())


def arguments_told(target: Callable[..., Any]) -> dict[str, str]:
    """What the docstrings of a class, its constructor and its parents say of each argument."""
    kinds = target.__mro__ if inspect.isclass(target) else (target,)
    docs = [doc for kind in kinds for doc in (kind.__doc__, getattr(kind.__dict__.get("__init__"), "__doc__", None))]
    told: dict[str, str] = {}
    for doc in docs:
        for name, text in _sections(inspect.cleandoc(doc or "")):
            if name in _ARGUMENTS:
                told = dict(_entries(text)) | told
    return told


def _sections(doc: str) -> Iterator[tuple[str, str]]:
    """Names and texts of a docstring's sections, Google's way."""
    name, lines = "", list[str]()
    for line in doc.splitlines():
        if found := _SECTION.match(line.strip()) if line[:1].strip() else None:
            yield name, inspect.cleandoc("\n".join(["", *lines]))
            name, lines = found["name"], []
        elif line[:1].strip():
            yield name, inspect.cleandoc("\n".join(["", *lines]))
            name, lines = "", [line]
        else:
            lines.append(line)
    yield name, inspect.cleandoc("\n".join(["", *lines]))


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Names and sentences of a list of arguments, whose further lines are indented."""
    names: list[str] = []
    words: list[str] = []
    for line in text.splitlines():
        found = _ENTRY.match(line)
        if found and not line[:1].isspace():
            yield from ((name, " ".join(words)) for name in names)
            names, words = found["names"].split(", "), [found["text"].strip()]
        else:
            words.append(line.strip())
    yield from ((name, " ".join(words).strip()) for name in names)
