"""The pocket recipe as objects that benchmarks train for a few steps, once its statistics are frozen."""

import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from hydra import compose, initialize_config_dir
from rich.console import Console

from benchmarks.harness import Seconds
from phis_lab.config.assemble import assemble
from phis_lab.config.jobs import create_job
from phis_lab.config.resolvers import register_resolvers
from phis_lab.data import EvalLoader, PartitionPlan
from phis_lab.engine import (
    Arm,
    Distiller,
    FeatureProvider,
    Group,
    OnlineEstimation,
    Partition,
    ProgressLine,
    Run,
    Stage,
)
from phis_lab.engine.estimation.base import Estimation

CONF = Path(__file__).resolve().parents[1] / "conf"
BATCH = 64
PARTITION = "all"
GATHERED = 4


def pocket_group(arms: Sequence[Sequence[str]], steps: int, shared: Sequence[str] = ()) -> Group:
    """Arms of the pocket recipe that are ready to train, their normalisers fitted on four batches and frozen.

    Args:
        arms: overrides of each arm.
        steps: length of the run.
        shared: overrides of all.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    register_resolvers()
    common = [
        "logger=none",
        f"data.batch_size={BATCH}",
        "data.train_images=2000",
        f"trainer.max_steps={steps}",
        f"estimation.steps={GATHERED}",
        "estimation.warmup_steps=1",
        *shared,
    ]
    jobs = []
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for number, overrides in enumerate(arms):
            config = compose("config", [*common, *overrides], return_hydra_config=True)
            jobs.append(create_job(config, Path(tempfile.gettempdir()) / f"arm{number}"))
    group = assemble(jobs, {job.folder: f"arm{number}" for number, job in enumerate(jobs)})
    freeze(group)
    return group


def freeze(group: Group) -> None:
    """Gather the statistics on the first batches and fit all arms, so that timed steps are those of a long run."""
    stage = group.stages[0]
    places = {(PARTITION, run.arm.grid_at()) for run in group.runs}
    group.estimation.start(stage.provenance, places, stage.steps)
    for step, batch in zip(range(GATHERED), group.data.train_dataloader(), strict=False):
        group.estimation.observe({PARTITION: group.stages[0].main.train(batch[PARTITION].images)}, step)
    for run in group.runs:
        run.arm.fit(group.estimation.gathered([(PARTITION, run.arm.grid_at())]), GATHERED)
    assert isinstance(group.estimation, OnlineEstimation)
    group.estimation.steps = 0  # every step is past the last one that gathers
    group.estimation.first_step = 0


def snapshot(arm: Arm) -> dict[str, Any]:
    """What an arm starts from, to start from it again."""
    state = arm.training_state()
    return {"modules": {key: tensor.clone() for key, tensor in state["modules"].items()}}


def restart(arm: Arm, state: Mapping[str, Any]) -> None:
    """Put an arm back to a snapshot, with a new optimiser."""
    arm.load_state_dict(state["modules"])
    arm.optimizer = arm.recipe.build(arm.student)


class Training:
    """Trains arms from their start, over and over: `Distiller` under Lightning's trainer, as a run does.

    Args:
        runs: whose arms are trained together.
        batches: makes the batches, one pass a run.
        provider: teacher features of a batch.
        estimation: with frozen statistics.
        steps: length of the run.
        starts: snapshots from which the arms begin; None takes them now.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        batches: Callable[[], Any],
        provider: FeatureProvider,
        estimation: Estimation,
        steps: int,
        starts: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.runs, self.batches, self.provider, self.estimation = list(runs), batches, provider, estimation
        self.steps = steps
        self.starts = starts or {run.key: snapshot(run.arm) for run in runs}
        self.losses: dict[str, list[float]] = {}

    @classmethod
    def of(cls, group: Group, runs: Sequence[Run] | None = None) -> "Training":
        """Some runs of a group, or all."""
        provider, steps = group.stages[0].main.train, group.options.max_steps
        return cls(runs or group.runs, group.data.train_dataloader, provider, group.estimation, steps)

    def __call__(self) -> Seconds:
        """Train once; the seconds from the end of the first step to the end of the last."""
        for run in self.runs:
            restart(run.arm, self.starts[run.key])
        steps = fit(self.runs, self.batches, self.provider, self.estimation, self.steps)
        self.losses = {run.key: [losses[run.key] for losses in steps.losses] for run in self.runs}
        return steady(steps.ends)


def fit(
    runs: Sequence[Run], batches: Callable[[], Any], provider: FeatureProvider, estimation: Estimation, steps: int
) -> "Steps":
    """Train arms from where they are, as `train_group` does, without checkpoints, evaluations and logged errors.

    The errors in the teachers' own space are logged every 25 steps and in the last one. A run of a few steps would pay
    for them too often, so the schedule ends a step later than the batches; the first step is not timed.
    """
    kept = Steps()
    module = Distiller(runs, [stage_of(provider, schedule(steps))], estimation)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, callbacks=[ProgressLine(Console()), kept],
    )  # fmt: skip
    trainer.fit(module, batches())
    assert module.steps_done == steps, f"{module.steps_done} of {steps} steps: {[run.failure for run in runs]}"
    return kept


def stage_of(provider: FeatureProvider, steps: int) -> Stage:
    """A stage of one partition that is never evaluated."""
    partition = Partition(PartitionPlan(), 1, 1, 0, train=provider, test=provider, loader=_no_images)
    return Stage(PARTITION, 0, steps, {PARTITION: partition}, {PARTITION: {}})


def _no_images(*_: Any) -> EvalLoader:
    raise AssertionError("a benchmark of the step evaluates nothing")


def schedule(steps: int) -> int:
    """Length of the learning-rate schedule of a run that ends before its last step."""
    return steps + 1


def steady(ends: Sequence[float]) -> Seconds:
    """Seconds between the end of the first step and the end of the last: no set-up, and every step with its data."""
    return Seconds(ends[-1] - ends[0])


class Steps(L.Callback):
    """When each step ended, and the loss of each arm."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note both."""
        assert isinstance(pl_module, Distiller)
        self.ends.append(time.perf_counter())
        self.losses.append({run.key: run.loss for run in pl_module.runs if run.loss is not None})
