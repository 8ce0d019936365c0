"""The LightningModule: one data pass and one teacher pass, trained on by every arm."""

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

Logged = Callable[[str, dict[str, float], int], None]


class Failure(NamedTuple):
    """When and why an arm was stopped."""

    step: int
    reason: str


class Start(NamedTuple):
    """Where an arm goes on, and in which state its checkpoint left it and the statistics of its grid."""

    step: int = 0
    arm: Mapping[str, Any] | None = None
    estimation: Mapping[str, Any] = {}


class Distiller(L.LightningModule):
    """Trains one or more arms against one teacher pass.

    A step never logs by itself beyond handing values to `logged`. Arms hold their own optimisers: they may differ in
    them, and one backward pass, one gradient all-reduce and one optimiser step per arm keep each equal to its solo run.
    The steps begin where the arm that is furthest behind goes on; an arm that is further joins when they reach it.

    Args:
        arms: by label.
        provider: teacher features of a batch.
        estimation: gathers the statistics from which the normalisers are fitted.
        max_steps: length of the whole run in optimisation steps; it sets the schedules.
        starts: where each arm goes on; one that is not named begins. States are loaded once the arms are on their
            device.
        log_every: steps between calls of `logged`.
        logged: receives an arm's label, its values and the step.
        failed: told of an arm that was stopped, by its label.
    """

    def __init__(
        self,
        arms: Mapping[str, Arm],
        provider: FeatureProvider,
        estimation: Estimation,
        max_steps: int,
        starts: Mapping[str, Start] | None = None,
        log_every: int = 25,
        logged: Logged = lambda label, values, step: None,
        failed: Callable[[str], None] = lambda label: None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.arms = nn.ModuleDict(arms)
        self.pool = provider.pool
        self.provider, self.estimation = provider, estimation
        self.starts = {label: (starts or {}).get(label, Start()) for label in arms}
        self.max_steps, self.steps_done = max_steps, min(start.step for start in self.starts.values())
        self.log_every, self.logged, self.failed = log_every, logged, failed
        self.failures: dict[str, Failure] = {}
        self.losses: dict[str, float] = {}
        self.seconds_of_step = 0.0
        self._since = time.perf_counter()

    def configure_optimizers(self) -> list[Optimizer]:
        """None for Lightning to drive: each arm steps its own."""
        return []

    def on_fit_start(self) -> None:
        """Fill the feature store, and put the arms where their checkpoints stopped."""
        if self.steps_done < self.max_steps:
            self.provider.prepare(self.device)
        self.estimation.resume_at(self.steps_done)
        for label, start in self.starts.items():
            if start.arm is not None:
                self.arms[label].load_training_state(start.arm)  # type: ignore[operator]
                self.starts[label] = start._replace(arm=None)

    def has_joined(self, label: str) -> bool:
        """Whether the steps have reached the one where an arm goes on."""
        return self.starts[label].step <= self.steps_done

    def live_arms(self) -> dict[str, Arm]:
        """Arms that are being trained."""
        joined = {label: arm for label, arm in self.arms.items() if self.has_joined(label)}
        return {label: arm for label, arm in joined.items() if label not in self.failures}  # type: ignore[misc]

    def took_last_step(self, label: str) -> bool:
        """Whether the last step was one of this arm's, unlike that of an arm which failed or has just joined."""
        return self.starts[label].step < self.steps_done and label not in self.failures

    def stop_arm(self, label: str, reason: str) -> None:
        """Take an arm out and free what only training needs; the others go on.

        Raises:
            ArmFailedError: there are no others.
        """
        self.failures[label] = Failure(self.steps_done, reason)
        self.arms[label].release()  # type: ignore[operator]
        self.failed(label)
        if len(self.failures) == len(self.arms):
            raise ArmFailedError("no arm is left")

    def restart_clock(self) -> None:
        """Leave what was done between two steps out of the training time; waiting for data stays in."""
        self._since = time.perf_counter()

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of every arm on one batch."""
        live = self.live_arms()
        if live:  # else the arms that still wait are all that is left
            self._take_in_statistics()
            features = self.provider(batch.images, batch.keys)
            fit = self.estimation.observe(features, self.steps_done)
            for label, arm in live.items():
                try:
                    if fit:
                        arm.fit(self.estimation.moments[arm.grid], self.steps_done)
                    if self.estimation.first_step <= self.steps_done:
                        self._step_arm(label, arm, batch, features[arm.grid])
                except ArmFailedError as reason:
                    self.stop_arm(label, str(reason))
        self.steps_done += 1
        now = time.perf_counter()
        self.seconds_of_step = now - self._since
        self._since = now

    def _take_in_statistics(self) -> None:
        """Give the estimation what an arm that joins now had gathered for its grid."""
        for label, start in self.starts.items():
            if start.step == self.steps_done and start.estimation:
                arm = self.arms[label]
                self.estimation.load_state_dict(start.estimation, arm.grid)  # type: ignore[arg-type]
                self.starts[label] = start._replace(estimation={})

    def _step_arm(self, label: str, arm: Arm, batch: Batch, features: Mapping[str, Features]) -> None:
        first, step = self.estimation.first_step, self.steps_done
        result = arm.step(batch.images, features, step - first, self.max_steps - first)
        self.losses[label] = result.loss
        if step % self.log_every == 0 or step == self.max_steps - 1:
            errors = arm.teacher_errors(result.predictions, features)
            named = {f"train/{teacher}/teacher_mse": value for teacher, value in errors.items()}
            self.logged(label, {**_named(result), **named}, step)


def _named(result: StepResult) -> dict[str, float]:
    rows = {f"train/{name}": value for name, value in result.rows.items()}
    return {"train/loss": result.loss, "train/lr": result.lr, **rows}
