"""The progress line: steps, images per second, time left, and the loss of each arm."""

import logging
import time
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from phis_lab.distill.module import Distiller

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 30.0


class ProgressLine(L.Callback):
    """A bar on a terminal; elsewhere a log line every half a minute."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._started = self._spoke = 0.0
        self._images = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the bar where the run goes on."""
        assert isinstance(pl_module, Distiller)
        self._started = self._spoke = time.perf_counter()
        self._images = pl_module.images_seen
        if self.console.is_terminal and trainer.is_global_zero:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
            )
            self._bar = Progress(
                *columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=self.console
            )
            count = len(pl_module.arms)
            name = next(iter(pl_module.arms)) if count == 1 else f"{count} arms, one teacher pass"
            self._bar.add_task(name, total=pl_module.max_steps, completed=pl_module.steps_done, rate="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar, or speak."""
        assert isinstance(pl_module, Distiller)
        now = time.perf_counter()
        rate = (pl_module.images_seen - self._images) * trainer.world_size / (now - self._started)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=pl_module.steps_done, rate=f"{rate:,.0f} images/s")
        elif trainer.is_global_zero and now - self._spoke > SECONDS_BETWEEN_LINES:
            self._spoke = now
            left = (pl_module.max_steps - pl_module.steps_done) * (now - self._started) / (batch_idx + 1)
            text = "step %d of %d, %.0f images/s, about %.0f s left"
            log.info(text, pl_module.steps_done, pl_module.max_steps, rate, left)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Close the bar before the message."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
