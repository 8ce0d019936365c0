"""What could stop the program: files that are no plain files, too long, too deep or that unfold, and deep overrides.

A YAML file of a few lines can name its own parts over and over, and stand for more values than any memory holds.
Import-light.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from omegaconf import DictConfig, ListConfig
from yaml import YAMLError

from phis_lab.whole_files import open_plain

LONGEST = 2**20
"""Bytes of an option file; those that are shipped have less than two thousand."""
DEEPEST = 40
"""Levels of nodes within each other; what is shipped has seven."""
MOST = 100_000
"""Values that a file stands for, with each alias written out."""
LONGEST_NAME = 500
"""Characters of an option's dotted name."""
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")


def refuse_unreadable(file: Path) -> None:
    """Refuse an option file that is no plain file, or holds more than an option file can.

    What is no text or no YAML passes, for the reader of YAML tells where it is wrong.

    Raises:
        ValueError: naming the file, and the line where there is one.
        OSError: see `open_plain`.
    """
    with open_plain(file) as stream:
        content = stream.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise ValueError(f"{file} has more than {LONGEST:,} bytes, which no option file does")
    try:
        _refuse_unfolding(file, content.decode("utf-8", errors="replace"))
    except YAMLError:
        return


def _refuse_unfolding(file: Path, text: str) -> None:
    """Follow the events of a parser, which uses no recursion and unfolds no alias, and count the values."""
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor, and values so far
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"{file}, line {event.start_mark.line + 1}" if event.start_mark else str(file)
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
            if len(open_nodes) > DEEPEST:
                raise ValueError(f"{where}: it nests deeper than {DEEPEST} levels, which no option does")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_nodes):
                raise ValueError(f"{where}: *{event.anchor} stands within &{event.anchor}, and would never end")
            anchor, size = None, sizes.get(str(event.anchor), 1)
        else:
            continue
        if anchor is not None:
            sizes[anchor] = size
        outer, before = open_nodes[-1]
        open_nodes[-1] = (outer, before + size)
        if before + size > MOST:
            raise ValueError(f"{where}: with its aliases (*NAME) written out, it holds more than {MOST:,} values")


def refuse_unreadable_overrides(overrides: Sequence[str]) -> None:
    """Refuse an override whose name or nesting no option has, before a parser follows it.

    Raises:
        ValueError: with the beginning of the override.
    """
    for override in overrides:
        name, _, value = override.partition("=")
        if len(name) > LONGEST_NAME:
            raise ValueError(f"{name[:60]}...: the name has {len(name)} characters, and no option has such a long one")
        depth = deepest = 0
        for sign in _QUOTED.sub("", value):
            depth += (sign in "[{(") - (sign in "]})")
            deepest = max(deepest, depth)
        if deepest > DEEPEST:
            raise ValueError(f"{override[:60]}...: it nests deeper than {DEEPEST} levels, which no option does")


def text_of(file: Path) -> str:
    """What an option file holds, for hints; nothing where it is no plain file or far too long."""
    try:
        with open_plain(file) as stream:
            return stream.read(LONGEST).decode("utf-8", errors="replace")
    except OSError:
        return ""


def too_deep(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for an option of a composed configuration that nests too deeply."""
    level: list[tuple[str, object]] = [("", config)]
    for _ in range(DEEPEST):
        level = [inner for path, node in level for inner in _inside(path, node)]
    if level:
        yield f"{level[0][0].split('.')[0]}: it nests deeper than {DEEPEST} levels, which no option does."


def _inside(path: str, node: object) -> Iterator[tuple[str, object]]:
    if (
        not isinstance(node, DictConfig | ListConfig)
        or node._is_none()
        or node._is_missing()
        or node._is_interpolation()
    ):
        return
    for key in range(len(node)) if isinstance(node, ListConfig) else list(node):
        yield f"{path}.{key}" if path else str(key), node._get_node(key)
