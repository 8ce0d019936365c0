"""Ctrl-C between steps, never inside one."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)


class StopRequest:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """The first Ctrl-C sets `requested`; a second one stops at once, without a checkpoint."""

        def on_signal(number: int, frame: FrameType | None) -> None:
            if self.requested:
                raise KeyboardInterrupt
            self.requested = True
            log.warning("Stopping after this step; press Ctrl-C again to stop at once.")

        previous = signal.signal(signal.SIGINT, on_signal)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, previous)
