"""What a shell offers for the words of a configuration: groups, their options, and dotted names. Import-light."""

from collections.abc import Sequence
from typing import cast

from hydra._internal.core_plugins.bash_completion import BashCompletion

from phis_lab.config.compose import Composer, composer
from phis_lab.config.loader import Loader
from phis_lab.refusals import REFUSALS

_PLACED = "evaluation.data="
"""A choice of the group `data`, whose node holds nothing yet."""


def offers(word: str, before: Sequence[str] = (), config_dir: str | None = None) -> list[str]:
    """What a word can become.

    Args:
        word: as far as it is typed.
        before: words in front of it.
        config_dir: of own configurations.

    Returns:
        Whole words. What can only become a group or a node is followed to what is in it, so that a shell goes on. None
        where the words in front of it are refused.
    """
    try:
        with composer([], config_dir) as command:
            as_completing(command)
            found = _offers(command, word, before)
            while len(found) == 1 and found[0] != word and found[0].endswith(("=", ".")):
                word, found = found[0], _offers(command, found[0], before) or found
            return found
    except REFUSALS:
        return []


def as_completing(command: Composer) -> None:
    """Have a command's loader list options in folders, `experiment=phis/mse`, as one chooses them."""
    cast(Loader, command.hydra.config_loader).completes = True


def _offers(command: Composer, word: str, before: Sequence[str]) -> list[str]:
    if word.startswith(_PLACED):
        return [
            _PLACED + name.removeprefix("data=") for name in _offers(command, f"data={word[len(_PLACED) :]}", before)
        ]
    line = " ".join([*before, word])  # which ends with a space where a new word begins
    return [str(name) for name in BashCompletion(command.hydra.config_loader)._query(command.name, line)]
