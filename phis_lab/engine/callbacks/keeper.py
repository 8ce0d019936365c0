"""Between the steps: evaluations, checkpoints, a stop that was asked for, and images that cannot be read."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import lightning as L
import torch

from phis_lab.data import Batch
from phis_lab.data.workers import WorkerError
from phis_lab.engine.arm_checkpoint import save_checkpoint
from phis_lab.engine.callbacks.background import BackgroundWriter, copied
from phis_lab.engine.callbacks.interrupt import StopRequest
from phis_lab.engine.callbacks.step_timeout import StepTimeout
from phis_lab.engine.distiller import Distiller
from phis_lab.engine.evaluation import Evaluation, Scores
from phis_lab.engine.run import Run
from phis_lab.engine.stages import stage_at
from phis_lab.guards import PartError, TeacherError
from phis_lab.processes import rank, union, world_size
from phis_lab.refusals import one_line

log = logging.getLogger(__name__)

BESIDE_STEPS_OF = ("cuda",)
"""Devices that compute while the CPU writes checkpoints; a CPU would do both, and hold every state twice."""


def crew_of(device: str) -> str:
    """Who takes steps, in the words of the log and of the record; on CPUs the threads decide how sums are rounded."""
    count, threads = world_size(), torch.get_num_threads()
    of_each = f", {threads} thread{'s' if threads > 1 else ''} each" if device == "cpu" else ""
    return f"{count} process{'es' if count > 1 else ''} on {device}{of_each}"


class Keeper(L.Callback):
    """Keeps what a run must not lose.

    Args:
        evaluation: called every so many steps.
        stop: looked at after each step.
        timeout: of a step; it does not count between two of them.
        checkpoint_every: steps between checkpoints.
    """

    def __init__(self, evaluation: Evaluation, stop: StopRequest, timeout: StepTimeout, checkpoint_every: int) -> None:
        self.evaluation, self.stop, self.timeout = evaluation, stop, timeout
        self.checkpoint_every = checkpoint_every
        self._writer = BackgroundWriter()
        self._since = time.perf_counter()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Fill the feature stores of the test images."""
        assert isinstance(pl_module, Distiller)
        for stage in pl_module.stages if self.evaluation.every else pl_module.stages[-1:]:
            for partition in stage.own().values() if pl_module.steps_done < stage.end else ():
                partition.test.prepare(pl_module.device)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clocks, and listen to signals alone."""
        assert isinstance(pl_module, Distiller)
        self.stop.take_over()
        _say_who(pl_module)
        self._since = time.perf_counter()
        pl_module.restart_clock()
        self.timeout.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate, save and stop where it is time."""
        assert isinstance(pl_module, Distiller)
        self.timeout.pause()
        self._count(pl_module, batch)
        step = pl_module.steps_done
        unfinished = step < pl_module.max_steps
        if unfinished and self.evaluation.due(step) and pl_module.has_trained():
            self.evaluate(pl_module, final=False)
        stops = self.stop.agree()
        self._writer.raise_failure()
        if stops or not unfinished or step % self.checkpoint_every == 0:
            self.save(pl_module, goes_on=unfinished and not stops)
        if stops:
            trainer.should_stop = True
        elif unfinished:
            self.timeout.start()
        pl_module.restart_clock()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Let the checkpoint that is being written be the one to go on from; the exception tells what went wrong."""
        self.timeout.pause()
        try:
            self._writer.wait()
        except Exception as error:
            log.warning("The checkpoint that was being written is not whole: %s", one_line(error))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score the finished arms while they are still on their device."""
        assert isinstance(pl_module, Distiller)
        if pl_module.steps_done == pl_module.max_steps:
            self.finish(pl_module)

    def finish(self, module: Distiller) -> None:
        """The last scores of every run that is left."""
        self.evaluate(module, final=True)
        self._tick(module.live())

    def evaluate(self, module: Distiller, final: bool) -> None:
        """Score the runs that took the last step, or at the end all."""
        with ExitStack() as stack:
            for run in module.live():
                stack.enter_context(run.arm.whole())
            self._evaluate(module, final)

    def _evaluate(self, module: Distiller, final: bool) -> None:
        self._stop_broken_arms(module)
        runs = [run for run in module.live() if final or module.took_last_step(run)]
        assert module.stage is not None
        scores = self._scores(module, runs, final) if runs else {}
        for run in runs:
            if run.key in scores:
                run.scored(module.steps_done, scores[run.key], final)

    def _scores(self, module: Distiller, runs: Sequence[Run], final: bool) -> dict[str, Scores]:
        """Scores by key; where the pass over all runs breaks, each is scored alone and those that break it are stopped.

        What a teacher or a file did is no run's fault, and ends the group.
        """
        assert module.stage is not None
        try:
            arms = {run.key: run.arm for run in runs}
            folders = {run.key: run.folder for run in runs} if rank() == 0 else {}
            return self.evaluation(arms, module.stage, module.device, final, folders)
        except (TeacherError, WorkerError, OSError):
            raise
        except Exception as error:
            if world_size() > 1:  # the other processes may not know of it, and would wait
                raise
            if len(runs) == 1:
                module.stop(runs[0], error)
                return {}
        return {key: scores for run in runs for key, scores in self._scores(module, [run], final).items()}

    def _stop_broken_arms(self, module: Distiller) -> None:
        """An arm whose last step broke it has no scores, and must not keep the others from theirs."""
        assert module.stage is not None
        partition = module.stage.main
        images, _ = next(iter(partition.loader("test", 16, False)))
        for run in module.live():
            run.arm.eval()
            try:
                if not run.arm.is_finite(images.to(module.device), partition.plan.scale):
                    module.stop(run, f"its features are not finite after step {module.steps_done}")
            except PartError as error:
                module.stop(run, error)
            run.arm.train()

    def _count(self, module: Distiller, batch: Mapping[str, Batch]) -> None:
        """Give every run that took the last step its share of the tallies."""
        moved = [run for run in module.runs if module.took_last_step(run)]
        crew = crew_of(module.device.type)
        images = stage_at(module.stages, module.steps_done - 1).batch_size
        for run in moved:
            run.trained_on[crew] = run.trained_on.get(crew, 0) + 1
            run.train_seconds += module.seconds_of_step
            for of_partition in batch.values():
                run.corrupt_names.update(of_partition.corrupt)
            run.images_seen += images
        self._tick(moved)

    def _tick(self, runs: Iterable[Run]) -> None:
        """Add the time since the last tick to the runs that worked in it."""
        now = time.perf_counter()
        for run in runs:
            run.seconds += now - self._since
        self._since = now

    def save(self, module: Distiller, goes_on: bool = False) -> None:
        """One checkpoint per live run, all of the same step.

        Args:
            module: with the runs.
            goes_on: more steps follow; a GPU then takes them while copies of the states are written.

        Raises:
            OSError: one cannot be written, or that of the call before could not.
        """
        self._writer.wait()
        module.take_over()
        for run in module.runs:
            run.corrupt_names = union(run.corrupt_names)
        beside = goes_on and module.device.type in BESIDE_STEPS_OF
        writes = []
        for run in module.runs:
            if module.took_last_step(run):
                state = run.arm.training_state()
                if rank() == 0:
                    whole = run.checkpoint(module.steps_done, state, module.estimation_of(run).state_dict())
                    if beside:
                        writes.append(partial(save_checkpoint, run.folder, copied(whole)))
                    else:
                        save_checkpoint(run.folder, whole)
        if writes:
            self._writer.begin(partial(_call_all, writes))


def _call_all(functions: Iterable[Callable[[], None]]) -> None:
    for function in functions:
        function()


def _say_who(module: Distiller) -> None:
    """Warn of a run that goes on with others than those who trained before."""
    crew = crew_of(module.device.type)
    if others := sorted({other for run in module.runs for other in run.trained_on} - {crew}):
        log.warning(
            "Going on with %s where %s trained before: the result equals to rounding, not bit for bit; with another "
            "number of processes drop path and teacher dropping draw otherwise too.",
            crew,
            " and ".join(others),
        )
