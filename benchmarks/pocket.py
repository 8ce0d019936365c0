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
from phis_lab.config.job import create_job
from phis_lab.config.resolvers import register_resolvers
from phis_lab.data import EvalLoader, Partition
from phis_lab.engine import Arm, Distiller, FeatureProvider, Group, OnlineEstimation, ProgressLine, Share, Stage
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
    group.estimation.start(stage.provenance, {(PARTITION, arm.grid_at()) for arm in group.arms.values()}, stage.steps)
    for step, batch in zip(range(GATHERED), group.data.train_dataloader(), strict=False):
        group.estimation.observe({PARTITION: group.stages[0].main.train(batch[PARTITION].images)}, step)
    for arm in group.arms.values():
        arm.fit(group.estimation.gathered([(PARTITION, arm.grid_at())]), GATHERED)
    assert isinstance(group.estimation, OnlineEstimation)
    group.estimation.steps = 0  # every step is past the last one that gathers
    group.estimation.first_step = 0


def snapshot(arm: Arm) -> dict[str, Any]:
    """What an arm starts from, to start from it again."""
    state = arm.training_state()
    return {"modules": {key: tensor.clone() for key, tensor in state["modules"].items()}, "stream": state["stream"]}


def restart(arm: Arm, state: Mapping[str, Any]) -> None:
    """Put an arm back to a snapshot, with a new optimiser."""
    arm.load_state_dict(state["modules"])
    arm.stream.load_state_dict(state["stream"])
    arm.optimizer = arm.recipe.build(arm.student)


class Training:
    """Trains arms from their start, over and over: `Distiller` under Lightning's trainer, as a run does.

    Args:
        arms: to be trained together.
        batches: makes the batches, one pass a run.
        provider: teacher features of a batch.
        estimation: with frozen statistics.
        steps: length of the run.
        starts: snapshots from which the arms begin; None takes them now.
    """

    def __init__(
        self,
        arms: Mapping[str, Arm],
        batches: Callable[[], Any],
        provider: FeatureProvider,
        estimation: Estimation,
        steps: int,
        starts: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.arms, self.batches, self.provider, self.estimation = dict(arms), batches, provider, estimation
        self.steps = steps
        self.starts = starts or {key: snapshot(arm) for key, arm in arms.items()}
        self.losses: dict[str, list[float]] = {}

    @classmethod
    def of(cls, group: Group, keys: Sequence[str] | None = None) -> "Training":
        """Some arms of a group, or all."""
        chosen = {key: group.arms[key] for key in keys or group.arms}
        provider, steps = group.stages[0].main.train, group.options.max_steps
        return cls(chosen, group.data.train_dataloader, provider, group.estimation, steps)

    def __call__(self) -> Seconds:
        """Train once; the seconds from the end of the first step to the end of the last."""
        for key, arm in self.arms.items():
            restart(arm, self.starts[key])
        steps = fit(self.arms, self.batches, self.provider, self.estimation, self.steps)
        self.losses = {key: [losses[key] for losses in steps.losses] for key in self.arms}
        return steady(steps.ends)


def fit(
    arms: Mapping[str, Arm], batches: Callable[[], Any], provider: FeatureProvider, estimation: Estimation, steps: int
) -> "Steps":
    """Train arms from where they are, as `train_group` does, without checkpoints, evaluations and logged errors.

    The errors in the teachers' own space are logged every 25 steps and in the last one. A run of a few steps would pay
    for them too often, so the schedule ends a step later than the batches; the first step is not timed.
    """
    kept = Steps()
    module = Distiller(arms, [stage_of(provider, schedule(steps))], estimation)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, callbacks=[ProgressLine(Console()), kept],
    )  # fmt: skip
    trainer.fit(module, batches())
    assert module.steps_done == steps, f"{module.steps_done} of {steps} steps: {module.failures}"
    return kept


def stage_of(provider: FeatureProvider, steps: int) -> Stage:
    """A stage of one partition that is never evaluated."""
    share = Share(Partition(), 1, 1, 0, train=provider, test=provider, loader=_no_images)
    return Stage(PARTITION, 0, steps, {PARTITION: share}, {PARTITION: {}})


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
        self.losses.append(dict(pl_module.losses))
