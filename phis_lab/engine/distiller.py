"""The LightningModule: one data pass and one teacher pass, trained on by every arm."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import lightning as L
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.optim import Optimizer

from phis_lab import processes
from phis_lab.data import Batch
from phis_lab.engine.arm import Arm, ArmFailedError, Targets
from phis_lab.engine.estimation.base import Estimation, Place, refuse_non_finite
from phis_lab.engine.run import Failure, Run
from phis_lab.engine.shared_targets import SharedTargets
from phis_lab.engine.stages import Partition, Shifts, Stage, places, stage_at
from phis_lab.engine.views import View
from phis_lab.features import GridFeatures
from phis_lab.guards import PartError
from phis_lab.linalg import Moments
from phis_lab.normalizers import TeacherSpace
from phis_lab.refusals import one_line

log = logging.getLogger(__name__)


class Distiller(L.LightningModule):
    """Trains the arms of one or more runs against one teacher pass.

    Arms hold their own optimisers: they may differ in them, and one backward pass, one exchange of gradients and one
    optimiser step per arm keep each equal to its solo run. The steps begin where the run that is furthest behind goes
    on; a run that is further joins when they reach it.

    Args:
        runs: with their arms; where each goes on is its `start`.
        stages: in their order, from step 0 to the end of the run; every stage has schedules of its own.
        estimation: gathers the statistics from which the normalisers are fitted.
        log_every: steps between values that a run is told to log.
        stopped: told of a run whose arm was stopped.
        shift_seed: of the places of shifted crops.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        stages: Sequence[Stage],
        estimation: Estimation,
        log_every: int = 25,
        stopped: Callable[[Run], None] = lambda run: None,
        shift_seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.runs, self.stages = list(runs), list(stages)
        self.arms = nn.ModuleDict({run.key: run.arm for run in runs})
        self.take_pools()
        self.estimation, self._of_variances = estimation, estimation.of_variances()
        self.max_steps, self.steps_done = stages[-1].end, min(run.start.step for run in runs)
        self.stage: Stage | None = None
        self.log_every, self.stopped, self.shift_seed = log_every, stopped, shift_seed
        self.seconds_of_step = 0.0
        self._since = time.perf_counter()

    def configure_optimizers(self) -> list[Optimizer]:
        """None for Lightning to drive: each arm steps its own."""
        return []

    def take_pools(self) -> None:
        """Take the teachers of this process's partitions along from device to device."""
        self.pools = nn.ModuleList([part.train.pool for stage in self.stages for part in stage.own().values()])

    def on_fit_start(self) -> None:
        """Fill the feature stores, and put the arms where their checkpoints stopped."""
        for stage in self.stages:
            stage.meet()
            if self.steps_done < stage.end:
                for partition in stage.own().values():
                    partition.train.prepare(self.device)
        for run in self.runs:
            if run.start.arm is not None:
                _enter_arm(run.arm, stage_at(self.stages, max(0, run.start.step - 1)))
                run.take_up()
        self._enter(stage_at(self.stages, self.steps_done), self.steps_done)

    def shard(self, mesh: DeviceMesh) -> None:
        """Divide every arm's student among the processes of a mesh, before a checkpoint is loaded."""
        for run in self.runs:
            run.arm.shard(mesh)

    def _enter(self, stage: Stage, step: int) -> None:
        """Begin a stage, or go on with it at a later step of the run."""
        if self.stage is not None:
            for partition in self.stage.own().values():
                partition.train.forget()
                partition.test.forget()
        if len(self.stages) > 1:
            log.info("Stage %s, steps %d to %d: %s.", stage.name, stage.first, stage.end, stage.describe())
        self.stage = stage
        for estimation, runs in self._by_estimation():
            grids = {place for run in runs for place in places(stage, run.arm.grid_at).items()}
            estimation.start(stage.provenance, grids, stage.steps)
            estimation.resume_at(step - stage.first)

    def _by_estimation(self) -> list[tuple[Estimation, list[Run]]]:
        """The estimations that somebody is fitted from, with their runs; an arm that was stopped wants no more."""
        found: dict[int, tuple[Estimation, list[Run]]] = {}
        for run in (run for run in self.runs if run.failure is None):
            estimation = self.estimation_of(run)
            found.setdefault(id(estimation), (estimation, []))[1].append(run)
        return list(found.values())

    def estimation_of(self, run: Run) -> Estimation:
        """What gathers the statistics of a run's arm: variances alone, where its maps need no more."""
        return self.estimation if run.arm.needs_covariance else self._of_variances

    def has_joined(self, run: Run) -> bool:
        """Whether the steps have reached the one where a run goes on."""
        return run.start.step <= self.steps_done

    def live(self) -> list[Run]:
        """Runs whose arms are being trained."""
        return [run for run in self.runs if self.has_joined(run) and run.failure is None]

    def took_last_step(self, run: Run) -> bool:
        """Whether the last step was one of this run's, unlike that of one which failed or has just joined."""
        return run.start.step < self.steps_done and run.failure is None

    def has_trained(self) -> bool:
        """Whether the statistics of the stage of the last step let students learn in that step."""
        stage = stage_at(self.stages, self.steps_done - 1)
        return self.steps_done - stage.first > self.estimation.first_step

    def stop(self, run: Run, reason: str | Exception) -> None:
        """Take an arm out and free what only training needs; the others go on.

        Args:
            run: of the arm.
            reason: why; of an error that is no part's, which says enough, it is logged where it was raised.

        Raises:
            ArmFailedError: there are no others.
        """
        if isinstance(reason, Exception):
            log.log(logging.DEBUG if isinstance(reason, PartError) else logging.ERROR, "%s", run.title, exc_info=reason)
            reason = str(reason) if isinstance(reason, PartError) else one_line(reason)
        run.failure = Failure(self.steps_done, reason)
        run.arm.release()
        self.stopped(run)
        if all(other.failure is not None for other in self.runs):
            raise ArmFailedError("no arm is left")

    def take_over(self) -> None:
        """Let every process know what those of other partitions have gathered, so that the first one can keep it."""
        stage = self.stage
        if stage is None or not stage.crews:
            return
        of_partition, of_teacher = stage.first_of_partitions(), stage.first_of_teachers()
        for estimation, _ in self._by_estimation():
            estimation.share(of_partition)
        for run in self.live():
            run.arm.take_over(of_partition, of_teacher)

    def restart_clock(self) -> None:
        """Leave what was done between two steps out of the training time; waiting for data stays in."""
        self._since = time.perf_counter()

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> None:
        """One step of every arm on one batch of every partition."""
        live = self.live()
        stage = stage_at(self.stages, self.steps_done)
        if stage is not self.stage:
            self._enter(stage, self.steps_done)
        if live:  # else the runs that still wait are all that is left
            self._take_in_statistics(stage)
            self._step_arms(live, stage, batch)
        self.steps_done += 1
        now = time.perf_counter()
        self.seconds_of_step = now - self._since
        self._since = now

    def _take_in_statistics(self, stage: Stage) -> None:
        """Give the estimations what a run that joins within a stage had gathered for its grids."""
        for run in self.runs:
            if run.start.step == self.steps_done and run.start.estimation:
                if run.start.step > stage.first:
                    where = places(stage, run.arm.grid_at)
                    with run.of_this_version():
                        self.estimation_of(run).load_state_dict(run.start.estimation, where.items())
                run.start = run.start._replace(estimation={})

    def _step_arms(self, live: Sequence[Run], stage: Stage, batch: Mapping[str, Batch]) -> None:
        step, own = self.steps_done - stage.first, stage.own()
        shifts = {name: self._shifts(partition) for name, partition in own.items()}
        features = {name: part.features(batch[name], shifts[name]) for name, part in own.items()}
        refuse_non_finite(features, step)
        due = self._observe(features, stage, step)
        ready = self._fitted(live, stage, due)
        if step < self.estimation.first_step:
            return
        targets = SharedTargets(run.arm for run in ready).of if len(ready) > 1 else TeacherSpace.targets
        taken: list[_Taken] = []

        def take_step(run: Run) -> None:
            arm, grids = run.arm, places(stage, run.arm.grid_at)
            views = {
                name: part.view(
                    batch[name], features[name][grids[name]], shifts[name], arm.patch_size, stage.crews.get(name)
                )
                for name, part in own.items()
            }
            taken.append(self._step_arm(run, views, stage, targets))

        for run in ready:
            self._succeeds(run, take_step)
        self._read(taken, stage)

    def _observe(self, features: Mapping[str, GridFeatures], stage: Stage, step: int) -> set[int]:
        """Count a step's features; the ids of those estimations to which maps are due to be fitted."""
        with processes.within(stage.group):
            changed = [estimation for estimation, _ in self._by_estimation() if estimation.observe(features, step)]
        last = step + 1 == self.estimation.frozen_after
        for estimation in changed if stage.crews else ():
            estimation.share(stage.first_of_partitions())
            if last:
                estimation.write()
        if last:
            log.info("Teacher statistics are frozen after %d steps.", step + 1)
        return set(map(id, changed))

    def _fitted(self, live: Sequence[Run], stage: Stage, due: set[int]) -> list[Run]:
        """The runs whose arms are ready for the step, with maps fitted where they are due."""
        gathered: dict[tuple[int, tuple[Place, ...]], dict[str, Moments]] = {}

        def fit(run: Run) -> None:
            estimation = self.estimation_of(run)
            _enter_arm(run.arm, stage)
            if id(estimation) in due:
                where = id(estimation), tuple(places(stage, run.arm.grid_at).items())
                if where not in gathered:
                    gathered[where] = estimation.gathered(where[1])
                run.arm.fit(gathered[where], self.steps_done, stage.first_of_teachers())

        return [run for run in live if self._succeeds(run, fit)]

    def _succeeds(self, run: Run, act: Callable[[Run], None]) -> bool:
        """Whether an arm did its part; one that fails is stopped, for whatever it raises is its own failure."""
        try:
            act(run)
        except ArmFailedError as reason:
            self.stop(run, str(reason))
        except Exception as reason:
            if processes.world_size() > 1:  # the other processes may not know of it, and would wait
                raise
            self.stop(run, reason)
        return run.failure is None

    def _shifts(self, partition: Partition) -> Shifts:
        """Where students and teachers look in the images of this step."""
        if not partition.shift:
            return Shifts((0, 0), (0, 0))
        return Shifts.draw(self.shift_seed, self.steps_done, partition.shift, self.runs[0].arm.patch_size)

    def _step_arm(self, run: Run, views: Mapping[str, View], stage: Stage, targets: Targets) -> "_Taken":
        first, step = stage.first + self.estimation.first_step, self.steps_done
        result = run.arm.step(views, step - first, stage.end - first, targets)
        logs = step % self.log_every == 0 or step == self.max_steps - 1
        errors = run.arm.teacher_errors(result.pairs) if logs else {}
        return _Taken(run, result.lr, logs, {"loss": result.loss}, result.rows, errors)

    def _read(self, taken: Sequence["_Taken"], stage: Stage) -> None:
        """Read the numbers of all arms' steps at once, for a GPU waits for its reader, and stop arms that diverge."""
        numbers = {
            (number, part, name): value
            for number, of_arm in enumerate(taken)
            for part, values in enumerate((of_arm.loss, of_arm.rows, of_arm.errors))
            for name, value in values.items()
        }
        means: dict[tuple[int, int], dict[str, float]] = {}
        for (number, part, name), mean in processes.means(numbers, alike=not stage.crews).items():
            means.setdefault((number, part), {})[name] = mean
        for number, (run, lr, logs, *_) in enumerate(taken):
            loss, rows, errors = (means.get((number, part), {}) for part in range(3))
            run.loss = loss["loss"]
            if not all(map(math.isfinite, (run.loss, *rows.values()))):
                steps = self.steps_done - stage.first - self.estimation.first_step
                named = {name: round(value, 4) for name, value in rows.items()}
                self.stop(run, f"the loss is not finite after {steps} of its steps: {named}")
            elif logs:
                told = {**loss, "lr": lr, **rows, **{f"{teacher}/teacher_mse": mse for teacher, mse in errors.items()}}
                run.log({f"train/{name}": value for name, value in told.items()}, self.steps_done)


class _Taken(NamedTuple):
    """What a step of an arm gave, on the device that computed it."""

    run: Run
    lr: float
    logs: bool
    loss: Mapping[str, Tensor]
    rows: Mapping[str, Tensor]
    errors: Mapping[str, Tensor]


def _enter_arm(arm: Arm, stage: Stage) -> None:
    if arm.stage != stage.name or set(arm.balancers) != set(stage.partitions):
        arm.enter(stage.name, stage.partitions)
