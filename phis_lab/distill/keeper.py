"""Between the steps: evaluations, checkpoints, a stop that was asked for, and images that cannot be read."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only

from phis_lab.distill.arm import Arm
from phis_lab.distill.checkpoint import save_checkpoint
from phis_lab.distill.evaluation import Evaluation, Loader, Scores
from phis_lab.distill.interrupt import StopRequest
from phis_lab.distill.module import Distiller


@dataclass
class ArmRun:
    """An arm with the folder it fills and what was measured so far."""

    label: str
    folder: Path
    config_sha256: str
    arm: Arm
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds_before: float = 0.0
    corrupt_before: list[str] = field(default_factory=list)

    def scored(self, step: int, scores: Scores) -> None:
        """Add an evaluation to the history."""
        self.history.append({"step": step, "metrics": scores.probes, "teacher_metrics": scores.matching})


class Keeper(L.Callback):
    """Keeps what a run must not lose.

    Args:
        runs: the arms with their folders.
        evaluation: called every so many steps, over `loader`.
        loader: gives labelled batches of a split.
        stop: looked at after each step.
        checkpoint_every: steps between checkpoints.
        on_scores: told of each evaluation (label, step, scores).
    """

    def __init__(
        self,
        runs: Sequence[ArmRun],
        evaluation: Evaluation,
        loader: Loader,
        stop: StopRequest,
        checkpoint_every: int,
        on_scores: Callable[[str, int, Scores], None],
    ) -> None:
        self.runs, self.evaluation, self.loader = runs, evaluation, loader
        self.stop, self.checkpoint_every, self.on_scores = stop, checkpoint_every, on_scores
        self.started = time.perf_counter()
        self.final: dict[str, Scores] = {}
        self.corrupt_names: set[str] = set()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clocks."""
        assert isinstance(pl_module, Distiller)
        self.started = time.perf_counter()
        pl_module.restart_clock()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate, save and stop where it is time."""
        assert isinstance(pl_module, Distiller)
        self.corrupt_names.update(batch.corrupt)
        step = pl_module.steps_done
        unfinished = step < pl_module.max_steps
        if unfinished and self.evaluation.due(step) and step > pl_module.estimation.first_step:
            self.evaluate(pl_module, final=False)
        asked = trainer.strategy.reduce_boolean_decision(self.stop.requested, all=False)
        if asked or not unfinished or step % self.checkpoint_every == 0:
            self.save(pl_module)
        if asked:
            trainer.should_stop = True
        pl_module.restart_clock()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score the finished arms while they are still on their device."""
        assert isinstance(pl_module, Distiller)
        if pl_module.steps_done == pl_module.max_steps:
            self.final = self.evaluate(pl_module, final=True)

    def evaluate(self, module: Distiller, final: bool) -> dict[str, Scores]:
        """Score every live arm and add the scores to its history."""
        self._stop_broken_arms(module)
        scores = self.evaluation(module.live_arms(), self.loader, module.device, final)
        for run in self.runs:
            if run.label in scores:
                run.scored(module.steps_done, scores[run.label])
                self.on_scores(run.label, module.steps_done, scores[run.label])
        return scores

    def _stop_broken_arms(self, module: Distiller) -> None:
        """An arm whose last step broke it has no scores, and must not keep the others from theirs."""
        images, _ = next(iter(self.loader("test", 16, False)))
        for label, arm in module.live_arms().items():
            arm.eval()
            if not arm.is_finite(images.to(module.device)):
                module.stop_arm(label, f"its features are not finite after step {module.steps_done}")
            arm.train()

    @rank_zero_only
    def save(self, module: Distiller) -> None:
        """One checkpoint per live arm, all of the same step."""
        for run in self.runs:
            if run.label in module.failures:
                continue
            state = {
                "config_sha256": run.config_sha256,
                "step": module.steps_done,
                "arm": run.arm.training_state(),
                "estimation": module.estimation.state_dict(),
                "history": run.history,
                "seconds": self.seconds(run),
                "images_seen": module.images_seen,
                "train_seconds": module.seconds,
                "corrupt_names": sorted(self.corrupt_names),
            }
            save_checkpoint(run.folder, state)

    def seconds(self, run: ArmRun) -> float:
        """Wall time of a run so far, over all its restarts."""
        return run.seconds_before + time.perf_counter() - self.started
