"""Patterns that name shards."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path


def matching_shards(root: Path, patterns: str | Sequence[str]) -> list[Path]:
    """Returns the shards that some patterns name, in the patterns' order and within `*` in that of their names.

    Args:
        root: what relative patterns begin at.
        patterns: one or more, in a list or joined by `::`. Braces are expanded first, as a shell does, and what they
            name must exist; then `*`, `?`, `[...]`, `**` take what is there. A shard that several of them name is read
            once.

    Raises:
        ValueError: a pattern names no shard, or a remote one.
    """
    given = [patterns] if isinstance(patterns, str) else patterns
    shards: dict[Path, None] = {}
    for pattern in (part for several in given for part in several.split("::")):
        if re.match(r"\w+://|pipe:", pattern):
            raise ValueError(f"{pattern} is no file on a disk; shards are read at random, so copy them into a folder")
        for name in expand_braces(pattern):
            shards.update(dict.fromkeys(_files(root, name)))
    return list(shards)


def _files(root: Path, name: str) -> list[Path]:
    path = root / Path(name).expanduser()
    if path.exists() or not glob.has_magic(name):
        return [path]
    found = sorted(glob.glob(str(Path(name).expanduser()), root_dir=root, recursive=True))  # noqa: PTH207  # Path takes no absolute one
    if not found:
        raise ValueError(f"no shard in {root} matches {name}; check data.root and the pattern")
    return [root / file for file in found]


def expand_braces(pattern: str) -> list[str]:
    """Expands `{a,b}`, `{00..12}`, `{a..c}` and `{0..10..2}` as a shell does; numbers keep their leading zeros.

    Example:
        >>> expand_braces("{a,b}-{08..10}.tar")[:3]
        ['a-08.tar', 'a-09.tar', 'a-10.tar']
    """
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces is None:
        return [pattern]
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    choices = _range(braces[1]) or braces[1].split(",")
    return [expanded for choice in choices for expanded in expand_braces(before + choice + after)]


def _range(inside: str) -> list[str]:
    bounds = re.fullmatch(r"(\d+|[A-Za-z])\.\.(\d+|[A-Za-z])(?:\.\.-?(\d+))?", inside)
    if bounds is None or bounds[1].isdigit() != bounds[2].isdigit():
        return []
    numbers = bounds[1].isdigit()
    first, last = (int(bound) if numbers else ord(bound) for bound in bounds.group(1, 2))
    step = (int(bounds[3] or 1) or 1) * (1 if first <= last else -1)
    padded = any(bound.startswith("0") and bound != "0" for bound in bounds.group(1, 2))
    width = max(map(len, bounds.group(1, 2))) if padded else 0
    steps = range(first, last + (1 if step > 0 else -1), step)
    return [f"{number:0{width}}" if numbers else chr(number) for number in steps]
