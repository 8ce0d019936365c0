"""Between the steps: evaluations, checkpoints, a stop that was asked for, and images that cannot be read."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only

from phis_lab.data import Batch
from phis_lab.engine.arm import Arm
from phis_lab.engine.callbacks.interrupt import StopRequest
from phis_lab.engine.checkpoint import save_checkpoint
from phis_lab.engine.distiller import Distiller
from phis_lab.engine.evaluation import Evaluation, Scores
from phis_lab.processes import union, world_size
from phis_lab.tracking import Source
from phis_lab.tracking.job import Job


def crew_of(processes: int, device: str) -> str:
    """Who takes steps, in the words of the log and of the record."""
    return f"{processes} process{'es' if processes > 1 else ''} on {device}"


@dataclass
class ArmRun:
    """An arm with the folder it fills and what was measured so far, over all its restarts.

    Attributes:
        title: method and seed, for a reader.
        history: evaluations.
        units: of the evaluations' numbers, by name.
        logged: what the loggers were told, as (step, values).
        seconds: wall time, evaluations included.
        sources: what the run is made of.
        train_seconds: of the steps alone, over which `images_seen` images passed, those of all processes.
        corrupt_names: images that were left out; in every process its own, and in a checkpoint all.
        is_new: whether its folder was empty when this process began.
        trained_on: steps by the processes and the kind of device that took them.
    """

    label: str
    title: str
    job: Job
    arm: Arm
    sources: Mapping[str, Source] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    logged: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    seconds: float = 0.0
    train_seconds: float = 0.0
    images_seen: int = 0
    corrupt_names: set[str] = field(default_factory=set)
    trained_on: dict[str, int] = field(default_factory=dict)
    is_new: bool = False

    @property
    def folder(self) -> Path:
        """Where it writes."""
        return self.job.folder

    def scored(self, step: int, scores: Scores) -> None:
        """Add an evaluation to the history, as plain numbers, which a checkpoint may hold."""
        plain = {name: float(value) for name, value in scores.probes.items()}
        self.units |= {name: score.unit for name, score in scores.probes.items()}
        self.history.append({"step": step, "metrics": plain, "teacher_metrics": scores.matching})

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on counting from."""
        return {
            "history": self.history,
            "units": self.units,
            "logged": self.logged,
            "seconds": self.seconds,
            "train_seconds": self.train_seconds,
            "images_seen": self.images_seen,
            "corrupt_names": sorted(self.corrupt_names),
            "trained_on": self.trained_on,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.history, self.logged = list(state["history"]), list(state["logged"])
        self.units = dict(state.get("units", {}))
        self.corrupt_names = set(state["corrupt_names"])
        self.seconds, self.train_seconds = state["seconds"], state["train_seconds"]
        self.images_seen, self.trained_on = state["images_seen"], dict(state["trained_on"])


class Keeper(L.Callback):
    """Keeps what a run must not lose.

    Args:
        runs: the arms with their folders.
        evaluation: called every so many steps.
        stop: looked at after each step.
        checkpoint_every: steps between checkpoints.
        on_scores: told of each evaluation (label, step, scores).
    """

    def __init__(
        self,
        runs: Sequence[ArmRun],
        evaluation: Evaluation,
        stop: StopRequest,
        checkpoint_every: int,
        on_scores: Callable[[str, int, Scores], None],
    ) -> None:
        self.runs, self.evaluation = runs, evaluation
        self.stop, self.checkpoint_every, self.on_scores = stop, checkpoint_every, on_scores
        self.final: dict[str, Scores] = {}
        self._since = time.perf_counter()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Fill the feature stores of the test images."""
        assert isinstance(pl_module, Distiller)
        for stage in pl_module.stages if self.evaluation.every else pl_module.stages[-1:]:
            for share in stage.shares.values() if pl_module.steps_done < stage.end else ():
                share.test.prepare(pl_module.device)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clocks."""
        assert isinstance(pl_module, Distiller)
        self._since = time.perf_counter()
        pl_module.restart_clock()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate, save and stop where it is time."""
        assert isinstance(pl_module, Distiller)
        self._count(pl_module, batch.values())
        step = pl_module.steps_done
        unfinished = step < pl_module.max_steps
        if unfinished and self.evaluation.due(step) and pl_module.has_trained():
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
            self.finish(pl_module)

    def finish(self, module: Distiller) -> None:
        """The last scores of every arm that is left."""
        self.final = self.evaluate(module, final=True)
        self._tick(module.live_arms())

    def evaluate(self, module: Distiller, final: bool) -> dict[str, Scores]:
        """Score the arms that took the last step, or at the end all, and add the scores to their histories."""
        self._stop_broken_arms(module)
        arms = {label: arm for label, arm in module.live_arms().items() if final or module.took_last_step(label)}
        assert module.stage is not None
        scores = self.evaluation(arms, module.stage, module.device, final) if arms else {}
        for run in self.runs:
            if run.label in scores:
                run.scored(module.steps_done, scores[run.label])
                self.on_scores(run.label, module.steps_done, scores[run.label])
        return scores

    def _stop_broken_arms(self, module: Distiller) -> None:
        """An arm whose last step broke it has no scores, and must not keep the others from theirs."""
        assert module.stage is not None
        share = module.stage.main
        images, _ = next(iter(share.loader("test", 16, False)))
        for label, arm in module.live_arms().items():
            arm.eval()
            if not arm.is_finite(images.to(module.device), share.plan.size):
                module.stop_arm(label, f"its features are not finite after step {module.steps_done}")
            arm.train()

    def _count(self, module: Distiller, batches: Collection[Batch]) -> None:
        """Give every arm that took the last step its share of the tallies."""
        moved = [run for run in self.runs if module.took_last_step(run.label)]
        crew = crew_of(world_size(), module.device.type)
        for run in moved:
            run.trained_on[crew] = run.trained_on.get(crew, 0) + 1
            run.train_seconds += module.seconds_of_step
            for batch in batches:
                run.images_seen += len(batch.images) * world_size()
                run.corrupt_names.update(batch.corrupt)
        self._tick([run.label for run in moved])

    def _tick(self, labels: Collection[str]) -> None:
        """Add the time since the last tick to the arms that worked in it."""
        now = time.perf_counter()
        for run in self.runs:
            if run.label in labels:
                run.seconds += now - self._since
        self._since = now

    def save(self, module: Distiller) -> None:
        """One checkpoint per live arm, all of the same step."""
        for run in self.runs:
            run.corrupt_names = union(run.corrupt_names)
        self._write(module)

    @rank_zero_only
    def _write(self, module: Distiller) -> None:
        for run in self.runs:
            if not module.took_last_step(run.label):
                continue
            state = {
                "config_sha256": run.job.sha256,
                "seed": run.job.seed,
                "sources": {name: source.sha256 for name, source in run.sources.items()},
                "step": module.steps_done,
                "arm": run.arm.training_state(),
                "estimation": module.estimation.state_dict(),
                "run": run.state_dict(),
            }
            save_checkpoint(run.folder, state)
