"""How far the arms are, told on the terminal, in the log and in the folders of unfinished arms."""

import logging
import sys
import time
from typing import Any, TextIO

import lightning as L
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from phis_lab.engine.distiller import Distiller
from phis_lab.engine.run import Run
from phis_lab.engine.stages import images_of
from phis_lab.runs import RunProgress, write_progress
from phis_lab.runs.progress import PROGRESS_FILE, now
from phis_lab.spoken import spoken
from phis_lab.visible import in_one_line

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 30.0
SECONDS_BETWEEN = 10.0


class ProgressLine(L.Callback):
    """A bar over a line per arm on a terminal; elsewhere a log line every half a minute.

    Args:
        console: where to draw; one that prints texts as they are.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._bar, self._task = _bar()
        self._started = self._spoke = 0.0
        self._images = 0
        self._moved: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the view where the run goes on."""
        assert isinstance(pl_module, Distiller)
        module = pl_module
        self._started = self._spoke = time.perf_counter()
        if self.console.is_terminal and trainer.is_global_zero:
            count = len(module.runs)
            name = module.runs[0].title if count == 1 else f"{count} arms, one teacher pass"
            self._bar.update(
                self._task, description=in_one_line(name), total=module.max_steps, completed=module.steps_done, rate=""
            )
            self._live = Live(get_renderable=lambda: self._view(module), console=self.console, refresh_per_second=2)
            self._open(self._live)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar, or speak."""
        assert isinstance(pl_module, Distiller)
        now = time.perf_counter()
        self._images += images_of(batch)
        rate = self._images * trainer.world_size / (now - self._started)
        if self._live is not None:
            self._bar.update(self._task, completed=pl_module.steps_done, rate=f"{rate:,.0f} images/s")
        elif trainer.is_global_zero and now - self._spoke > SECONDS_BETWEEN_LINES:
            self._spoke = now
            left = (pl_module.max_steps - pl_module.steps_done) * (now - self._started) / (batch_idx + 1)
            text = "step %d of %d, %.0f images/s, about %.0f s left; loss of %s"
            losses = ", ".join(f"{run.title}: {_state(pl_module, run)}" for run in pl_module.runs)
            log.info(text, pl_module.steps_done, pl_module.max_steps, rate, left, losses)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Close the view."""
        self._close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Close the view before the message."""
        self._close()

    def _open(self, live: Live) -> None:
        """Start drawing; what is logged meanwhile goes above the view, through the stream that it puts for stdout."""
        outside = sys.stdout
        live.start()
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is outside:
                handler.setStream(sys.stdout)
                self._moved.append((handler, outside))

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        while self._moved:
            handler, outside = self._moved.pop()
            handler.setStream(outside)

    def _view(self, module: Distiller) -> RenderableType:
        table = Table("arm", "loss", "newest evaluation", box=None, header_style="dim", pad_edge=False)
        for run in module.runs:
            table.add_row(in_one_line(run.title), _state(module, run), _newest(run))
        return Group(self._bar, table)


def _newest(run: Run) -> str:
    if not run.history:
        return ""
    newest, units = run.history[-1], run.units
    values = ", ".join(f"{name} {spoken(value, units.get(name, ''))}" for name, value in newest["metrics"].items())
    return f"{values or 'teacher matching'} (step {newest['step']})"


def _state(module: Distiller, run: Run) -> str:
    """The loss of an arm, or why it has none."""
    if run.failure is not None:
        return f"stopped after step {run.failure.step}"
    if not module.has_joined(run):
        return f"joins at step {run.start.step}"
    return "gathering statistics" if run.loss is None else spoken(run.loss)


def _bar() -> tuple[Progress, TaskID]:
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    bar = Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    return bar, bar.add_task("", total=None, rate="")


class StatusFiles(L.Callback):
    """Writes `progress.json` for every arm of the first process, at most once in ten seconds."""

    def __init__(self) -> None:
        self._written, self._warned = 0.0, False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say that the arms are under way."""
        self._write(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say it again where some time has passed."""
        if time.monotonic() - self._written > SECONDS_BETWEEN:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the last word with the folders of arms that were interrupted."""
        self._write(trainer, pl_module)

    def _write(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, Distiller)
        self._written = time.monotonic()
        if not trainer.is_global_zero:
            return
        for run in module.runs:
            if run.failure is None:
                self._write_of(run, module)

    def _write_of(self, run: Run, module: Distiller) -> None:
        """A file that is only looked at must not end a run."""
        try:
            write_progress(run.folder, _progress(run, module))
        except OSError as error:
            if not self._warned:
                log.warning("%s cannot be written, and the run goes on without it: %s", PROGRESS_FILE, error)
            self._warned = True


def _progress(run: Run, module: Distiller) -> RunProgress:
    newest = run.history[-1] if run.history else {}
    return RunProgress(
        name=run.job.study,
        method=run.label,
        seed=run.job.seed,
        step=max(module.steps_done, run.start.step),
        max_steps=module.max_steps,
        images_per_s=run.images_per_s,
        loss=run.loss,
        scored_at=newest.get("step"),
        metrics=newest.get("metrics", {}),
        units={name: unit for name, unit in run.units.items() if name in newest.get("metrics", {})},
        teacher_metrics=newest.get("teacher_metrics", {}),
        updated=now(),
        choices=run.job.choices,
    )
