"""The LightningModule: one data pass and one teacher pass, trained on by every arm."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
import torch
from torch import nn
from torch.optim import Optimizer

from phis_lab.data import Batch
from phis_lab.distill.arm import Arm, DivergedError, StepResult
from phis_lab.distill.estimation import Estimation
from phis_lab.distill.provider import FeatureProvider
from phis_lab.teachers import Features

log = logging.getLogger(__name__)

Grid = tuple[int, int]
Logged = Callable[[str, dict[str, float], int], None]


class Distiller(L.LightningModule):
    """Trains one or more arms against one teacher pass.

    A step never logs by itself beyond handing values to `logged`. Arms hold their own optimisers: they may differ in
    them, and one backward pass, one gradient all-reduce and one optimiser step per arm keep each equal to its solo run.

    Args:
        arms: by label.
        provider: teacher features of a batch.
        estimation: gathers the statistics from which the normalisers are fitted.
        max_steps: length of the whole run in optimisation steps; it sets the schedules.
        resume: state of each arm from a checkpoint, loaded once the arms are on their device.
        start_step: where a resumed run goes on.
        log_every: steps between calls of `logged`.
        logged: receives an arm's label, its values and the step.
    """

    def __init__(
        self,
        arms: Mapping[str, Arm],
        provider: FeatureProvider,
        estimation: Estimation,
        max_steps: int,
        resume: Mapping[str, Mapping[str, Any]] | None = None,
        start_step: int = 0,
        log_every: int = 25,
        logged: Logged = lambda label, values, step: None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.arms = nn.ModuleDict(arms)
        self.pool = provider.pool
        self.provider, self.estimation = provider, estimation
        self.max_steps, self.steps_done, self.log_every, self.logged = (
            max_steps,
            start_step,
            log_every,
            logged,
        )
        self.resume = resume or {}
        self.failures: dict[str, str] = {}
        self.seconds = 0.0
        self.images_seen = 0

    def configure_optimizers(self) -> list[Optimizer]:
        """None for Lightning to drive: each arm steps its own."""
        return []

    def on_fit_start(self) -> None:
        """Put the arms where their checkpoints stopped."""
        for label, state in self.resume.items():
            self.arms[label].load_training_state(state)  # type: ignore[operator]
        self.resume = {}

    def live_arms(self) -> dict[str, Arm]:
        """Arms whose loss is still finite."""
        return {label: arm for label, arm in self.arms.items() if label not in self.failures}  # type: ignore[misc]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of every arm on one batch."""
        started = time.perf_counter()
        step = self.steps_done
        features = self.provider(batch.images, batch.keys)
        fit = self.estimation.observe(features, step)
        logs_now = step % self.log_every == 0 or step == self.max_steps - 1
        for label, arm in self.live_arms().items():
            if fit:
                self._fit(arm)
            if self.estimation.trains(step):
                self._step_arm(label, arm, batch, features[arm.grid], logs_now)
        self.steps_done += 1
        self.images_seen += len(batch.images)
        self.seconds += time.perf_counter() - started
        if not self.live_arms():
            raise DivergedError("; ".join(f"{label}: {why}" for label, why in self.failures.items()))

    def _fit(self, arm: Arm) -> None:
        for teacher, moments in self.estimation.moments[arm.grid].items():
            arm.normalizers[teacher].fit(moments)  # type: ignore[operator]

    def _step_arm(self, label: str, arm: Arm, batch: Batch, features: Mapping[str, Features], logs_now: bool) -> None:
        try:
            result = arm.step(batch.images, features, self.steps_done, self.max_steps)
        except DivergedError as reason:
            self.failures[label] = str(reason)
            log.error("%s was stopped: %s. The other arms go on.", label, reason)
            return
        if logs_now:
            self.logged(label, {**_named(result), **self._teacher_space(arm, batch, features)}, self.steps_done)

    @torch.no_grad()
    def _teacher_space(self, arm: Arm, batch: Batch, features: Mapping[str, Features]) -> dict[str, float]:
        """Mean squared error on this batch in each teacher's own space, for the curves."""
        with arm.stream.active():
            predictions = arm.predict(batch.images)[1]
        errors: dict[str, float] = {}
        for teacher, target in features.items():
            spatial = arm.in_teacher_space(teacher, predictions[teacher]).spatial
            if spatial is not None and target.spatial is not None:
                errors[f"train/{teacher}/teacher_mse"] = (spatial - target.spatial).square().mean().item()
        return errors


def _named(result: StepResult) -> dict[str, float]:
    rows = {f"train/{name}": value for name, value in result.rows.items()}
    return {"train/loss": result.loss, "train/lr": result.lr, **rows}
