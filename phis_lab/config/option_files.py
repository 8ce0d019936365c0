"""Where option files lie, and `experiment=glob(phis/*)`: Hydra's glob does not look into folders. Import-light."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
"""The shipped configuration: inside an installed package, or beside it in a checkout."""

NESTED_GLOB = re.compile(r"(?P<group>\w+)=glob\((?P<pattern>[\w*?\[\]-]+/[\w*?\[\]/-]+)\)")


PLACED = re.compile(r"(?P<sign>~|\+*)evaluation[./]data(?P<value>=(?!\{).*|)")
"""A choice of the evaluation's own data set, as one types it; an own part in braces is a value."""


def placed(arguments: Sequence[str]) -> list[str]:
    """Arguments in which `evaluation.data=OPTION` is Hydra's `data@evaluation.data=OPTION`; others stay as they are."""
    return [_place(found) if (found := PLACED.fullmatch(argument)) else argument for argument in arguments]


def _place(found: re.Match[str]) -> str:
    sign, value = found["sign"].strip("+"), found["value"]
    return "~data@evaluation.data" if value == "=null" else f"{sign}data@evaluation.data{value}"


def expand_nested_globs(arguments: Sequence[str], folders: Sequence[Path] = ()) -> list[str]:
    """Arguments in which a glob over a group's folders is the list of what it matches; others stay as they are.

    Args:
        arguments: a command line.
        folders: further ones that hold groups, besides the shipped configuration.

    Raises:
        ValueError: nothing matches; the options that there are, are named.
    """
    return [_expand(argument, (CONF, *folders)) for argument in arguments]


def _expand(argument: str, folders: Sequence[Path]) -> str:
    found = NESTED_GLOB.fullmatch(argument)
    if not found:
        return argument
    group, pattern = found.groups()
    matching = options(group, folders, f"{pattern}.yaml")
    if not matching:
        there = ", ".join(options(group, folders, "*/*.yaml")) or "none in folders"
        raise ValueError(f"{argument} matches no option of {group}; there are: {there}")
    return f"{group}={','.join(matching)}"


def options(group: str, folders: Iterable[Path], pattern: str = "**/*.yaml") -> list[str]:
    """Names of a group's option files, those in its folders included."""
    places = [folder / group for folder in folders]
    return sorted({file.relative_to(at).with_suffix("").as_posix() for at in places for file in at.glob(pattern)})


def groups(folders: Iterable[Path]) -> list[str]:
    """Names of the config groups."""
    inside = (place for folder in folders if folder.is_dir() for place in folder.iterdir())
    return sorted(
        {place.name for place in inside if place.is_dir() and place.name != "hydra" and any(place.rglob("*.yaml"))}
    )


def folder_of(place: str) -> Path:
    """The folder that an entry of `hydra.searchpath` means: a path, `file://PATH` or `pkg://PACKAGE`.

    Raises:
        ValueError: there is no such folder.
    """
    scheme, _, rest = place.rpartition("://")
    if scheme == "pkg":
        try:
            spec = find_spec(rest.replace("/", "."))
        except ModuleNotFoundError:
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(f"hydra.searchpath names the package {rest}, which cannot be imported")
        return Path(next(iter(spec.submodule_search_locations)))
    folder = Path(rest).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ValueError(
            f"the folder of own configurations {folder} {what}; name one that holds groups like experiment/"
        )
    return folder.resolve()


def is_choice(override: str, folders: Sequence[Path]) -> bool:
    """Whether an override chooses an option of a group, and does not set a value."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0] in groups((CONF, *folders))


@cache
def _primary() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    return read


def teachers_own() -> tuple[str, ...]:
    """Options of the set of teachers, among its members."""
    return tuple(_primary()["teachers"])
