"""What a data set leaves out: files that are no images, and corrupt images, too many of which end the run."""

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from phis_lab.visible import in_one_line

_NAMED = 3
_TOLERATED = 0.01
_ENOUGH_SEEN = 1000
_log = logging.getLogger(__name__)


class LeftOut:
    """Counts by reason, with the first few names of each."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}

    def add(self, reason: str, detail: str, count: int = 1) -> None:
        """Counts `count` more.

        Args:
            reason: what they are, as in "hidden file{s}".
            detail: a name or an ending.
            count: how many.
        """
        self.counts.setdefault(reason, Counter())[detail] += count

    def __str__(self) -> str:
        return ", ".join(_told(reason, details) for reason, details in self.counts.items())

    def tell(self, source: str) -> None:
        """Logs one line, if anything was left out of a source."""
        if self.counts:
            _log.warning("left out of %s: %s", source, self)


def _told(reason: str, details: Counter[str]) -> str:
    total = details.total()
    names = [in_one_line(name) for name, _ in details.most_common(_NAMED)] + ["..."] * (len(details) > _NAMED)
    return f"{total} {reason.replace('{s}', '' if total == 1 else 's')} ({', '.join(names)})"


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
                self._told[name] = in_one_line(f"{name} ({reason})" if reason else name)
                _log.warning("left out a corrupt image: %s", self._told[name])
        judged = min(self.num_images, max(self.seen, _ENOUGH_SEEN))
        if len(self.names) > _TOLERATED * judged:
            some = ", ".join(self._told[name] for name in sorted(self.names)[:5])
            raise ValueError(
                f"{self.source}: {len(self.names)} corrupt images among {self.seen} seen are more than "
                f"{_TOLERATED:.0%} of the {judged} that are judged; repair or remove them. Among them: {some}"
            )
