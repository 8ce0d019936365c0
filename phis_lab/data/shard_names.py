"""Patterns that name shards."""

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from braceexpand import braceexpand


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
        for name in _expanded(pattern):
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


def _expanded(pattern: str) -> Iterator[str]:
    try:
        yield from braceexpand(pattern, escape=False)
    except ValueError as error:
        raise ValueError(f"{pattern} has a brace that is never closed or never opened: {error}") from None
