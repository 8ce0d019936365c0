"""The LightningModule: one data pass and one teacher pass, trained on by every arm."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import lightning as L
from torch import Tensor, nn
from torch.optim import Optimizer

from phis_lab import processes
from phis_lab.data import Batch
from phis_lab.engine.arm import Arm, ArmFailedError, StepResult
from phis_lab.engine.estimation.base import Estimation, Place
from phis_lab.engine.stages import Share, Shifts, Stage, crop, places, stage_at
from phis_lab.engine.views import View
from phis_lab.features import Grid, GridFeatures, Resize
from phis_lab.linalg import Moments
from phis_lab.parts import PartError

log = logging.getLogger(__name__)
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
        stages: in their order, from step 0 to the end of the run; every stage has schedules of its own.
        estimation: gathers the statistics from which the normalisers are fitted.
        starts: where each arm goes on; one that is not named begins. States are loaded once the arms are on their
            device.
        log_every: steps between calls of `logged`.
        logged: receives an arm's label, its values and the step.
        failed: told of an arm that was stopped, by its label.
        shift_seed: of the places of shifted crops.
    """

    def __init__(
        self,
        arms: Mapping[str, Arm],
        stages: Sequence[Stage],
        estimation: Estimation,
        starts: Mapping[str, Start] | None = None,
        log_every: int = 25,
        logged: Logged = lambda label, values, step: None,
        failed: Callable[[str], None] = lambda label: None,
        shift_seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.arms = nn.ModuleDict(arms)
        self.pools = nn.ModuleList([share.train.pool for stage in stages for share in stage.shares.values()])
        self.stages, self.estimation = list(stages), estimation
        self.starts = {label: (starts or {}).get(label, Start()) for label in arms}
        self.max_steps, self.steps_done = stages[-1].end, min(start.step for start in self.starts.values())
        self.stage: Stage | None = None
        self.shift_seed = shift_seed
        self.log_every, self.logged, self.failed = log_every, logged, failed
        self.failures: dict[str, Failure] = {}
        self.losses: dict[str, float] = {}
        self.seconds_of_step = 0.0
        self._since = time.perf_counter()

    def configure_optimizers(self) -> list[Optimizer]:
        """None for Lightning to drive: each arm steps its own."""
        return []

    def on_fit_start(self) -> None:
        """Fill the feature stores, and put the arms where their checkpoints stopped."""
        for stage in self.stages:
            if self.steps_done < stage.end:
                for share in stage.shares.values():
                    share.train.prepare(self.device)
        for label, start in self.starts.items():
            if start.arm is not None:
                self._enter_arm(label, stage_at(self.stages, max(0, start.step - 1)))
                self.arms[label].load_training_state(start.arm)  # type: ignore[operator]
                self.starts[label] = start._replace(arm=None)
        self._enter(stage_at(self.stages, self.steps_done), self.steps_done)

    def _enter(self, stage: Stage, step: int) -> None:
        """Begin a stage, or go on with it at a later step of the run."""
        if self.stage is not None:
            for share in self.stage.shares.values():
                share.train.forget()
                share.test.forget()
        if len(self.stages) > 1:
            log.info("Stage %s, steps %d to %d: %s.", stage.name, stage.first, stage.end, stage.describe())
        self.stage = stage
        grids = {place for arm in self.arms.values() for place in places(stage, arm.grid_at).items()}  # type: ignore[arg-type]
        self.estimation.start(stage.provenance, grids, stage.steps)
        self.estimation.resume_at(step - stage.first)

    def _enter_arm(self, label: str, stage: Stage) -> None:
        arm: Arm = self.arms[label]  # type: ignore[assignment]
        if arm.stage != stage.name or set(arm.balancers) != set(stage.shares):
            arm.enter(stage.name, stage.shares)

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

    def has_trained(self) -> bool:
        """Whether the statistics of the stage of the last step let students learn in that step."""
        stage = stage_at(self.stages, self.steps_done - 1)
        return self.steps_done - stage.first > self.estimation.first_step

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

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> None:
        """One step of every arm on one batch of every partition."""
        live = self.live_arms()
        stage = stage_at(self.stages, self.steps_done)
        if stage is not self.stage:
            self._enter(stage, self.steps_done)
        if live:  # else the arms that still wait are all that is left
            self._take_in_statistics(stage)
            self._step_arms(live, stage, batch)
        self.steps_done += 1
        now = time.perf_counter()
        self.seconds_of_step = now - self._since
        self._since = now

    def _step_arms(self, live: Mapping[str, Arm], stage: Stage, batch: Mapping[str, Batch]) -> None:
        step = self.steps_done - stage.first
        seen = {name: self._seen(share, batch[name]) for name, share in stage.shares.items()}
        fit = self.estimation.observe({name: part.features for name, part in seen.items()}, step)
        moments: dict[tuple[Place, ...], dict[str, Moments]] = {}
        for label, arm in live.items():
            grids = places(stage, arm.grid_at)
            try:
                self._enter_arm(label, stage)
                if fit:
                    where = tuple(grids.items())
                    moments.setdefault(where, self.estimation.gathered(where))
                    arm.fit(moments[where], self.steps_done)
                if self.estimation.first_step <= step:
                    views = {name: part.view(grids[name], arm.patch_size) for name, part in seen.items()}
                    self._step_arm(label, arm, views, stage)
            except ArmFailedError as reason:
                self.stop_arm(label, str(reason))
            except PartError as reason:
                if processes.world_size() > 1:  # the others may not know of it, and would wait
                    raise
                log.debug("%s", label, exc_info=True)
                self.stop_arm(label, str(reason))

    def _seen(self, share: Share, batch: Batch) -> "_Seen":
        """What students and teachers see of one partition, with the teachers' features."""
        if not share.shift:
            return _Seen(batch.images, share.train(batch.images, batch.keys), share.plan.size, share.train.pool.resize)
        patch = next(arm.patch_size for arm in self.arms.values())
        shifts = Shifts.draw(self.shift_seed, self.steps_done, share.shift, patch)  # type: ignore[arg-type]
        images, shown = (crop(batch.images, corner, share.image_size) for corner in shifts)
        return _Seen(images, share.train(shown, batch.keys), share.plan.size, share.train.pool.resize, shifts)

    def _take_in_statistics(self, stage: Stage) -> None:
        """Give the estimation what an arm that joins within a stage had gathered for its grids."""
        for label, start in self.starts.items():
            if start.step == self.steps_done and start.estimation:
                if start.step > stage.first:
                    where = places(stage, self.arms[label].grid_at)  # type: ignore[arg-type]
                    self.estimation.load_state_dict(start.estimation, where.items())
                self.starts[label] = start._replace(estimation={})

    def _step_arm(self, label: str, arm: Arm, views: Mapping[str, View], stage: Stage) -> None:
        first, step = stage.first + self.estimation.first_step, self.steps_done
        result = arm.step(views, step - first, stage.end - first)
        self.losses[label] = result.loss
        if step % self.log_every == 0 or step == self.max_steps - 1:
            errors = arm.teacher_errors(result.pairs)
            named = {f"train/{teacher}/teacher_mse": value for teacher, value in errors.items()}
            self.logged(label, {**_named(result), **named}, step)


class _Seen(NamedTuple):
    images: Tensor
    features: GridFeatures
    size: float
    resize: Resize
    shifts: Shifts = Shifts((0, 0), (0, 0))

    def view(self, grid: Grid, patch: int) -> View:
        return View(self.images, self.features[grid], self.size, self.shifts.tokens(patch), self.resize)


def _named(result: StepResult) -> dict[str, float]:
    rows = {f"train/{name}": value for name, value in result.rows.items()}
    return {"train/loss": result.loss, "train/lr": result.lr, **rows}
