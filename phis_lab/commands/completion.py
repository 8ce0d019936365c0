"""Completion of the words that commands share with `run.py`, by the scripts that `--install-completion` installs."""

import os
import shlex
from collections.abc import Sequence
from itertools import pairwise

from phis_lab.config.completion import offers
from phis_lab.config.described import asked
from phis_lab.config.option_files import CONF, groups, options

_BREAKS = ("=", "@", ":")
"""At which bash breaks words, and completes only what follows."""
_DIR = ("--config-dir", "-cd")


def overrides(incomplete: str) -> list[str]:
    """What an override on the command line can become, as the shell that asks wants it.

    Args:
        incomplete: the word at the cursor, or in bash what of it follows a break.
    """
    pieces = typed(incomplete)
    *before, word = glued(pieces)
    return _wanted(pieces[-1], word, offers(word, _values(before), _config_dir(before)))


def choices(incomplete: str) -> list[str]:
    """What GROUP or GROUP=OPTION can become; see `overrides`."""
    pieces = typed(incomplete)
    word = glued(pieces)[-1]
    group, has_option, _ = word.partition("=")
    if not has_option:
        found = [name for name in groups([CONF]) if name.startswith(group)]
        if len(found) != 1:
            return _wanted(pieces[-1], word, found)
        (group,) = found
    all_of_it = [f"{group}={name}" for name in options(asked(group)[0], [CONF])]
    return _wanted(pieces[-1], word, [name for name in all_of_it if name.startswith(word)])


def typed(incomplete: str) -> list[str]:
    """The words up to the cursor, as the shell tells them; without the program's name, and in bash in pieces."""
    if "COMP_WORDS" in os.environ:
        words = _split(os.environ["COMP_WORDS"])
        count = int(os.environ.get("COMP_CWORD", len(words) - 1))
        return [*words[1:count], words[count] if count < len(words) else ""]
    words = _split(os.environ.get("_TYPER_COMPLETE_ARGS", ""))[1:]
    return words if words and incomplete and words[-1] == incomplete else [*words, incomplete]


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quotation that is still open
        return line.split()


def glued(words: Sequence[str]) -> list[str]:
    """Words that bash broke into pieces, whole again."""
    whole: list[str] = []
    for word in words:
        goes_on = bool(whole) and (word[:1] in _BREAKS or whole[-1].endswith(_BREAKS))
        whole[-1:] = [whole[-1] + word] if goes_on else [*whole[-1:], word]
    return whole


def _wanted(piece: str, word: str, found: Sequence[str]) -> list[str]:
    """Of whole words that part which takes the place of the piece at the cursor."""
    known = word if piece in _BREAKS else word.removesuffix(piece)
    return [name.removeprefix(known) for name in found if name.startswith(known)]


def _values(before: Sequence[str]) -> list[str]:
    return [word for word in before if "=" in word and not word.startswith("-")]


def _config_dir(before: Sequence[str]) -> str | None:
    for name, value in pairwise(before):
        if name in _DIR:
            return value
    return next((word.partition("=")[2] for word in before if word.startswith("--config-dir=")), None)
