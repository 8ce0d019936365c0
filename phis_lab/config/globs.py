"""`experiment=glob(phis/*)`: Hydra's glob looks at the files of a group, not at those of its folders. Import-light."""

import re
from collections.abc import Sequence
from pathlib import Path

CONF = Path(__file__).resolve().parents[2] / "conf"
NESTED_GLOB = re.compile(r"(?P<group>\w+)=glob\((?P<pattern>[\w*?\[\]-]+/[\w*?\[\]/-]+)\)")


def expand_nested_globs(arguments: Sequence[str]) -> list[str]:
    """Arguments in which a glob over a group's folders is the list of what it matches; others stay as they are.

    Raises:
        ValueError: nothing matches; the options that there are, are named.
    """
    return [_expand(argument) for argument in arguments]


def _expand(argument: str) -> str:
    found = NESTED_GLOB.fullmatch(argument)
    if not found:
        return argument
    group, pattern = found.groups()
    options = _options(group, f"{pattern}.yaml")
    if not options:
        there = ", ".join(_options(group, "*/*.yaml")) or "none in folders"
        raise ValueError(f"{argument} matches no option of {group}; there are: {there}")
    return f"{group}={','.join(options)}"


def _options(group: str, pattern: str) -> list[str]:
    folder = CONF / group
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.glob(pattern))
