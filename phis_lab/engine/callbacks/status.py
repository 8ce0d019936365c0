"""Tells the folders of unfinished arms how far they are."""

import time
from typing import Any

import lightning as L

from phis_lab.engine.distiller import Distiller
from phis_lab.engine.run import Run
from phis_lab.runs import RunProgress, write_progress
from phis_lab.runs.progress import now

SECONDS_BETWEEN = 10.0


class StatusFiles(L.Callback):
    """Writes `progress.json` for every arm of the first process, at most once in ten seconds."""

    def __init__(self) -> None:
        self._written = 0.0

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
                write_progress(run.folder, _progress(run, module))


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
    )
