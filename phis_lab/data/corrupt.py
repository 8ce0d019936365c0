"""Corrupt images are left out, named and counted; too many of them end the run."""

import logging
from collections.abc import Sequence
from itertools import zip_longest

_TOLERATED = 0.01
_ENOUGH_SEEN = 1000
_log = logging.getLogger(__name__)


class CorruptCounter:
    """Collects the names of corrupt images and refuses a data set in which more than 1 % are.

    The share is taken of the images seen so far, but of no fewer than 1,000 (or all, where there are fewer),
    so that one bad image in the first batch does not end a run on a million good ones.

    Args:
        source: name of the data set, for the message.
        num_images: its size.
    """

    def __init__(self, source: str, num_images: int) -> None:
        self.source = source
        self.num_images = num_images
        self.seen = 0
        self.names: set[str] = set()
        self._told: dict[str, str] = {}

    def update(self, corrupt: list[str], seen: int, reasons: Sequence[str] = ()) -> None:
        """Counts `seen` more images, of which those named in `corrupt` did not decode.

        Args:
            corrupt: names.
            seen: how many images were read, the corrupt ones among them.
            reasons: what is wrong with each, for the log.

        Raises:
            ValueError: more than 1 % are corrupt.
        """
        self.seen += seen
        for name, reason in zip_longest(corrupt, reasons, fillvalue=""):
            if name not in self.names:
                self.names.add(name)
                self._told[name] = f"{name} ({reason})" if reason else name
                _log.warning("left out a corrupt image: %s", self._told[name])
        judged = min(self.num_images, max(self.seen, _ENOUGH_SEEN))
        if len(self.names) > _TOLERATED * judged:
            some = ", ".join(self._told[name] for name in sorted(self.names)[:5])
            raise ValueError(
                f"{self.source}: {len(self.names)} corrupt images among {self.seen} seen are more than "
                f"{_TOLERATED:.0%} of the {judged} that are judged; repair or remove them. Among them: {some}"
            )
