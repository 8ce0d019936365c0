"""What a data set holds besides the images that are read: counted by reason, told in one line."""

import logging
from collections import Counter

_NAMED = 3
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
    names = [name for name, _ in details.most_common(_NAMED)] + ["..."] * (len(details) > _NAMED)
    return f"{total} {reason.replace('{s}', '' if total == 1 else 's')} ({', '.join(names)})"
