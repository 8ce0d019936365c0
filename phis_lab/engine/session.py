"""One process from its first step to its records: resume, train, evaluate, write."""

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import lightning as L
import torch.distributed as dist
from lightning.pytorch.utilities.exceptions import SIGTERMException

from phis_lab.data import DataModule
from phis_lab.engine.arm import ArmFailedError
from phis_lab.engine.arm_record import compose_record
from phis_lab.engine.callbacks.interrupt import StopRequest
from phis_lab.engine.callbacks.keeper import Keeper
from phis_lab.engine.callbacks.status import ProgressLine, StatusFiles
from phis_lab.engine.callbacks.step_timeout import StepTimeout
from phis_lab.engine.distiller import Distiller
from phis_lab.engine.division import Division
from phis_lab.engine.estimation.base import Estimation
from phis_lab.engine.evaluation import Evaluation
from phis_lab.engine.run import Run
from phis_lab.engine.run_files import keep_files
from phis_lab.engine.stages import Stage
from phis_lab.engine.trainer_options import TrainerOptions
from phis_lab.runs import RunRecord
from phis_lab.runs.lock import is_first_process
from phis_lab.runs.loggers import LoggerSet
from phis_lab.strategies import DataParallel, Single, TeacherPartition
from phis_lab.strategies.launchers import environment
from phis_lab.terminal import Terminal

log = logging.getLogger(__name__)


@dataclass
class Group:
    """Runs that see the same batches, with all that they share."""

    runs: list[Run]
    options: TrainerOptions
    strategy: Single | DataParallel
    data: DataModule
    stages: Sequence[Stage]
    estimation: Estimation
    evaluation: Evaluation


def train_group(group: Group) -> None:
    """Train the runs of a group, evaluate them and write their records.

    Raises:
        ArmFailedError: every arm did; their records say so.
        SystemExit: the user asked to stop; checkpoints are written.
    """
    _Session(group).train()


class _Session:
    """A group at work: its runs go on where they stopped, and its module trains them."""

    def __init__(self, group: Group) -> None:
        self.group, self.stop = group, StopRequest()
        for run in group.runs:
            run.resume()
        self.module = Distiller(
            group.runs,
            group.stages,
            group.estimation,
            log_every=group.options.log_every,
            stopped=self._record_failure,
            shift_seed=group.data.source.seed,
        )
        group.data.start_step = self.module.steps_done

    def train(self) -> None:
        """See `train_group`."""
        runs, module = self.group.runs, self.module
        _say_where(runs, module)
        try:
            for run in runs:
                if is_first_process():
                    run.open()
                else:
                    run.loggers = LoggerSet({})
            with self.stop.listening():
                self._fit()
                if self.stop.requested and module.steps_done < module.max_steps:
                    log.warning("Stopped after step %d. The same command goes on from there.", module.steps_done)
                    _leave(self.stop.exit_code)
                records = [(run, self._write_record(run)) for run in module.live()]
            for run, record in records:  # all are written before the first view is closed
                keep_files(run, module)
                run.loggers.finish(record)
            if self.stop.requested:
                _leave(self.stop.exit_code)
        finally:
            for run in runs:
                run.loggers.finish()
            if dist.is_available() and dist.is_initialized():
                dist.destroy_process_group()  # the next group of a sweep starts its own
            if not module.steps_done:
                for run in runs:
                    run.leave_nothing()
        if not module.live() and is_first_process():
            raise ArmFailedError("; ".join(f"{run.label}: {run.failure.reason}" for run in runs if run.failure))

    def _fit(self) -> None:
        for package in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(package).setLevel(logging.WARNING)  # not what it found, nor its tips
        options = self.group.options
        timeout = StepTimeout(options.step_timeout)
        keeper = Keeper(self.group.evaluation, self.stop, timeout, options.checkpoint_every)
        with _known_warnings_ignored():
            self._run_trainer(timeout, keeper)

    def _run_trainer(self, timeout: StepTimeout, keeper: Keeper) -> None:
        module, cluster = self.module, environment()
        strategy = self.group.strategy
        division = [Division(strategy, self.group.data)] if isinstance(strategy, TeacherPartition) else []
        trainer = L.Trainer(
            accelerator=self.group.options.device,
            **strategy.trainer_arguments(),
            max_epochs=1,
            min_epochs=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            callbacks=[*division, keeper, ProgressLine(Terminal()), StatusFiles()],
            default_root_dir=self.group.runs[0].folder,
            plugins=None if cluster is None else [cluster],
        )
        try:
            if module.steps_done == module.max_steps:
                module.to(trainer.strategy.root_device).on_fit_start()
                keeper.finish(module)
                return
            with timeout.watching():
                trainer.fit(module, datamodule=self.group.data)
        except ArmFailedError as reason:
            log.error("Training ends: %s.", reason)
        except SIGTERMException:
            assert self.stop.requested  # while Lightning was starting

    def _record_failure(self, run: Run) -> None:
        """Record a failure at once, so that a restarted sweep skips this arm."""
        if is_first_process() and run.failure is not None:
            log.error("%s was stopped after step %d: %s", run.title, *run.failure)
            run.loggers.finish(self._write_record(run))

    def _write_record(self, run: Run) -> RunRecord | None:
        """Write the record of a run that has ended, in the process that writes; its views are closed afterwards."""
        if not is_first_process():
            return None
        record = compose_record(run, self.module, self.group.data, self.group.options.device)
        run.write(record)
        return record


@contextmanager
def _known_warnings_ignored() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec")  # Lightning against torch 2.13
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")  # nobody writes to it
        warnings.filterwarnings("ignore", message="The `srun` command is available")  # one process needs none
        yield


def _leave(code: int) -> None:
    """Exit; only the first process says so, for a launcher takes the others' codes for a crash and kills the first."""
    sys.exit(code if is_first_process() else 0)


def _say_where(runs: Sequence[Run], module: Distiller) -> None:
    """Log where a resumed group goes on, and who waits for it."""
    if any(run.start.step for run in runs):
        log.info("Going on from step %d.", module.steps_done)
    for run in runs:
        if not module.has_joined(run):
            log.info("%s joins at step %d.", run.title, run.start.step)
