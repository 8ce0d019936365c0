"""The LightningModule: one data pass and one teacher pass, trained on by every arm."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import lightning as L
from torch import nn
from torch.optim import Optimizer

from phis_lab.data import Batch
from phis_lab.distill.arm import Arm, ArmFailedError, StepResult
from phis_lab.distill.estimation import Estimation
from phis_lab.distill.provider import FeatureProvider
from phis_lab.teachers import Features

log = logging.getLogger(__name__)

Logged = Callable[[str, dict[str, float], int], None]


class Failure(NamedTuple):
    """When and why an arm was stopped."""

    step: int
    reason: str


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
        self.max_steps, self.steps_done = max_steps, start_step
        self.log_every, self.logged = log_every, logged
        self.resume = resume or {}
        self.failures: dict[str, Failure] = {}
        self.seconds = 0.0
        self.images_seen = 0
        self._since = time.perf_counter()

    def configure_optimizers(self) -> list[Optimizer]:
        """None for Lightning to drive: each arm steps its own."""
        return []

    def on_fit_start(self) -> None:
        """Put the arms where their checkpoints stopped."""
        for label, state in self.resume.items():
            self.arms[label].load_training_state(state)  # type: ignore[operator]
        self.resume = {}

    def live_arms(self) -> dict[str, Arm]:
        """Arms that go on."""
        return {label: arm for label, arm in self.arms.items() if label not in self.failures}  # type: ignore[misc]

    def stop_arm(self, label: str, reason: str) -> None:
        """Take an arm out; the others go on."""
        self.failures[label] = Failure(self.steps_done, reason)
        log.error("%s was stopped: %s", label, reason)
        if not self.live_arms():
            raise ArmFailedError("no arm is left")

    def restart_clock(self) -> None:
        """Leave what was done between two steps out of the training time; waiting for data stays in."""
        self._since = time.perf_counter()

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of every arm on one batch."""
        features = self.provider(batch.images, batch.keys)
        fit = self.estimation.observe(features, self.steps_done)
        for label, arm in self.live_arms().items():
            try:
                if fit:
                    arm.fit(self.estimation.moments[arm.grid], self.steps_done)
                if self.estimation.first_step <= self.steps_done:
                    self._step_arm(label, arm, batch, features[arm.grid])
            except ArmFailedError as reason:
                self.stop_arm(label, str(reason))
        self.steps_done += 1
        self.images_seen += len(batch.images)
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now

    def _step_arm(self, label: str, arm: Arm, batch: Batch, features: Mapping[str, Features]) -> None:
        first, step = self.estimation.first_step, self.steps_done
        result = arm.step(batch.images, features, step - first, self.max_steps - first)
        if step % self.log_every == 0 or step == self.max_steps - 1:
            errors = arm.teacher_errors(result.predictions, features)
            named = {f"train/{teacher}/teacher_mse": value for teacher, value in errors.items()}
            self.logged(label, {**_named(result), **named}, step)


def _named(result: StepResult) -> dict[str, float]:
    rows = {f"train/{name}": value for name, value in result.rows.items()}
    return {"train/loss": result.loss, "train/lr": result.lr, **rows}
