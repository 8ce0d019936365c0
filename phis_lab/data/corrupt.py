"""Corrupt images are left out, named and counted; too many of them end the run."""

import logging

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

    def update(self, corrupt: list[str], seen: int) -> None:
        """Counts `seen` more images, of which those named in `corrupt` did not decode.

        Raises:
            ValueError: more than 1 % are corrupt.
        """
        self.seen += seen
        for name in corrupt:
            if name not in self.names:
                _log.warning("left out a corrupt image: %s", name)
                self.names.add(name)
        judged = min(self.num_images, max(self.seen, _ENOUGH_SEEN))
        if len(self.names) > _TOLERATED * judged:
            some = ", ".join(sorted(self.names)[:5])
            raise ValueError(
                f"{self.source}: {len(self.names)} corrupt images among {self.seen} seen are "
                f"more than {_TOLERATED:.0%}; repair or remove them. Among them: {some}"
            )
