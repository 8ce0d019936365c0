"""How far a fill has come: a bar on a terminal, elsewhere a log line every half a minute."""

import logging
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0


class FillProgress:
    """Counts images; a context.

    Args:
        total: images that the teachers will see.
        visible: False in all processes but one.
        console: where the bar is drawn.
    """

    def __init__(self, total: int, visible: bool, console: Console) -> None:
        self.total, self.visible = total, visible
        self._done = 0
        self._started = self._spoke = time.perf_counter()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(
            *columns,
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not (visible and console.is_terminal),
        )
        self._task = self._bar.add_task("images through the teachers", total=total)

    def __enter__(self) -> "FillProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, images: int) -> None:
        """Say that so many more are done."""
        self._done += images
        self._bar.update(self._task, completed=self._done)
        now = time.perf_counter()
        if self.visible and self._bar.disable and now - self._spoke > SECONDS_BETWEEN_LINES:
            self._spoke = now
            left = (self.total - self._done) * (now - self._started) / self._done
            log.info("%d of %d images through the teachers, about %.0f s left", self._done, self.total, left)
