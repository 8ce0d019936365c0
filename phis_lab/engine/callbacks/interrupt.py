"""A signal that asks a run to stop is obeyed between steps, never inside one."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from phis_lab.processes import largest
from phis_lab.slurm import this_step

log = logging.getLogger(__name__)

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C, `kill` and a scheduler's pre-emption, its warnings before the time limit, a terminal that went away."""


class StopRequest:
    """Which signal asked to stop, if any.

    Attributes:
        signal: its number; 0 until one comes, or is agreed on.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._heard = False

    @property
    def requested(self) -> bool:
        """Whether one came, here or in another process of the run."""
        return self.signal != 0

    def agree(self) -> bool:
        """Whether to stop now; all processes call this after the same step and get the same answer.

        A signal that comes while they answer counts after the next step.
        """
        agreed = largest(self.signal)
        self.signal = agreed or self.signal
        return agreed != 0

    @property
    def exit_code(self) -> int:
        """Of a process that a signal ended, as a shell counts it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.signal

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Take the signals up meanwhile; a terminal's end that the process ignores, as under `nohup`, stays ignored."""
        previous = {number: signal.getsignal(number) for number in SIGNALS}
        self.take_over()
        try:
            yield self
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in previous.items():
                    signal.signal(number, handler)

    def take_over(self) -> None:
        """Put these handlers in the place of whoever came in front of them, as Lightning does for SIGTERM."""
        if threading.current_thread() is threading.main_thread():  # no other thread may
            for number in SIGNALS:
                if signal.Signals(number).name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; the second that this process gets ends it at once, without a checkpoint.

        The tasks of a Slurm step hear several, of Slurm and of `srun`, and are ended by Slurm where they stay too long.
        """
        ends_by_itself = this_step() is None
        if self._heard and not ends_by_itself:
            return
        if self._heard:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._heard = True
        self.signal = number
        again = "; the same again stops at once" if ends_by_itself else ""
        log.warning("Stopping after this step (%s)%s.", signal.Signals(number).name, again)
