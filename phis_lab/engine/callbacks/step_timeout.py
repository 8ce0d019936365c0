"""A step that never ends is ended where it hangs, so that the arm, the teacher or the data that hangs is blamed."""

import faulthandler
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STDERR = 2
"""The descriptor, which needs no Python to be written to."""
_BACKSTOP = 3
"""Times the seconds after which the process is ended from outside of Python, which a hang in a library may keep out."""


class StepTimeoutError(ValueError):
    """A step took longer than it may; the message says where it was."""


class StepTimeout:
    """Interrupts a step that takes too long.

    The alarm raises its error in whatever the main thread is doing. What runs outside of Python, such as a collective
    that waits for another process, does not notice: then the process ends with the stacks of its threads and code 1.

    Args:
        seconds: that a step of all arms may take, waiting for its images included; None is as long as it takes.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Leave no alarm behind, whatever happens."""
        previous = signal.getsignal(signal.SIGALRM) if self._can_interrupt() else None
        try:
            yield
        finally:
            self.pause()
            if previous is not None:
                signal.signal(signal.SIGALRM, previous)

    def start(self) -> None:
        """Begin to count, anew for every step; an arm that was interrupted leaves the next ones as much time."""
        if self.seconds is None:
            return
        self._set_backstop(self.seconds)
        if self._can_interrupt():
            signal.signal(signal.SIGALRM, self._on_alarm)
            signal.setitimer(signal.ITIMER_REAL, self.seconds, self.seconds)

    def pause(self) -> None:
        """Count no more: evaluations and checkpoints take what they take."""
        if self.seconds is not None:
            faulthandler.cancel_dump_traceback_later()
            if self._can_interrupt():
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _can_interrupt(self) -> bool:
        on_main = threading.current_thread() is threading.main_thread()
        return self.seconds is not None and hasattr(signal, "SIGALRM") and on_main

    def _set_backstop(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(_BACKSTOP * seconds, exit=True, file=_STDERR)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        assert self.seconds is not None
        self._set_backstop(self.seconds)
        while frame and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        place = f"; it was at {frame.f_code.co_filename}, line {frame.f_lineno}" if frame else ""
        raise StepTimeoutError(f"a step had not ended after trainer.step_timeout={self.seconds:g} seconds{place}")
