"""One process from its first step to its records: resume, train, evaluate, write."""

import logging
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import lightning as L
import torch.distributed as dist
import yaml
from rich.console import Console

from phis_lab.data import DataModule
from phis_lab.engine.arm import Arm, ArmFailedError
from phis_lab.engine.callbacks.interrupt import StopRequest
from phis_lab.engine.callbacks.keeper import ArmRun, Keeper, crew_of
from phis_lab.engine.callbacks.progress import ProgressLine
from phis_lab.engine.callbacks.status import StatusFiles
from phis_lab.engine.checkpoint import load_checkpoint
from phis_lab.engine.distiller import Distiller, Start
from phis_lab.engine.estimation.base import Estimation
from phis_lab.engine.evaluation import Evaluation, Scores
from phis_lab.engine.options import TrainerOptions
from phis_lab.engine.record import compose_record
from phis_lab.engine.stages import Stage
from phis_lab.strategies import DataParallel, Single
from phis_lab.tracking import LoggerSet, RunInfo, RunRecord, Source, write_record
from phis_lab.tracking.job import Job
from phis_lab.tracking.lock import LOCK_FILE, is_first_process
from phis_lab.tracking.record import FILE_NAME

log = logging.getLogger(__name__)

INTERRUPTED = 130


@dataclass
class Group:
    """Jobs that see the same batches, as objects; dicts are keyed by the arm's key."""

    jobs: dict[str, Job]
    labels: dict[str, str]
    arms: dict[str, Arm]
    loggers: dict[str, LoggerSet]
    options: TrainerOptions
    strategy: Single | DataParallel
    data: DataModule
    stages: Sequence[Stage]
    estimation: Estimation
    evaluation: Evaluation
    sources: Mapping[str, Mapping[str, Source]] = field(default_factory=dict)


def train_group(group: Group) -> None:
    """Train the arms of a group, evaluate them and write their records.

    Raises:
        ArmFailedError: every arm did; their records say so.
        SystemExit: the user asked to stop; checkpoints are written.
    """
    runs, module = _resume(group)
    stop = StopRequest()

    def on_scores(label: str, step: int, scores: Scores) -> None:
        module.logged(label, _flat(scores), step)

    keeper = Keeper(runs, group.evaluation, stop, group.options.checkpoint_every, on_scores)
    module.failed = lambda label: _record_failure(group, module, keeper, label)
    try:
        for run in runs:
            _start(group, run)
        with stop.listening():
            _fit(group, module, keeper)
        if stop.requested and module.steps_done < module.max_steps:
            log.warning("Stopped after step %d. The same command goes on from there.", module.steps_done)
            _leave(INTERRUPTED)
        records = {label: _write_record(group, module, keeper, label) for label in module.live_arms()}
        for label, record in records.items():  # all are written before the first view is closed
            group.loggers[label].finish(record)
        if stop.requested:
            _leave(INTERRUPTED)
    finally:
        for logger in group.loggers.values():
            logger.finish()
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()  # the next group of a sweep starts its own
        if not module.steps_done:
            _leave_nothing(runs)
    if not module.live_arms() and is_first_process():
        reasons = [f"{group.labels[key]}: {failure.reason}" for key, failure in module.failures.items()]
        raise ArmFailedError("; ".join(reasons))


def _leave(code: int) -> None:
    """Exit; only the first process says so, for a launcher takes the others' codes for a crash and kills the first."""
    sys.exit(code if is_first_process() else 0)


def _resume(group: Group) -> tuple[list[ArmRun], Distiller]:
    runs, starts = [], {}
    for key, job in group.jobs.items():
        sources = group.sources.get(key, {})
        run = ArmRun(key, f"{group.labels[key]}, seed {job.seed}", job, group.arms[key], sources)
        found = {name: source.sha256 for name, source in sources.items()}
        state = load_checkpoint(job.folder, job.sha256, job.seed, found)
        if state is not None:
            run.load_state_dict(state["run"])
            starts[key] = Start(state["step"], state["arm"], state["estimation"])
        runs.append(run)
    module = Distiller(
        group.arms,
        group.stages,
        group.estimation,
        starts,
        log_every=group.options.log_every,
        logged=partial(_log, group, {run.label: run for run in runs}),
        shift_seed=group.data.source.seed,
    )
    group.data.start_step = module.steps_done
    _say_where(runs, module, crew_of(group.strategy.processes, group.options.device))
    return runs, module


def _log(group: Group, runs: Mapping[str, ArmRun], label: str, values: dict[str, float], step: int) -> None:
    """Tell the views of an arm, and keep what they were told for those of a resumed run."""
    runs[label].logged.append((step, values))
    group.loggers[label].log(values, step)


def _say_where(runs: Sequence[ArmRun], module: Distiller, crew: str) -> None:
    """Log where a resumed group goes on, with whom, and who waits for it."""
    if any(start.step for start in module.starts.values()):
        log.info("Going on from step %d.", module.steps_done)
    others = sorted({other for run in runs for other in run.trained_on} - {crew})
    if others:
        log.warning(
            "Going on with %s where %s trained before: the result equals to rounding, not bit for bit; drop path "
            "and teacher dropping draw otherwise.",
            crew,
            " and ".join(others),
        )
    for run in runs:
        if not module.has_joined(run.label):
            log.info("%s joins at step %d.", run.title, module.starts[run.label].step)


def _start(group: Group, run: ArmRun) -> None:
    """Start the views of an arm, and tell them what a stopped process had logged before its checkpoint."""
    if not is_first_process():
        group.loggers[run.label] = LoggerSet({})
        return
    job, method = group.jobs[run.label], group.labels[run.label]
    run.folder.mkdir(parents=True, exist_ok=True)
    run.is_new = not any(path.name != LOCK_FILE for path in run.folder.iterdir())
    (run.folder / "config.yaml").write_text(yaml.safe_dump(job.config, sort_keys=False))
    info = RunInfo(
        name=f"{method}/seed{job.seed}",
        group=job.study,
        config=job.config,
        tags=tuple(f"{key}:{option}" for key, option in job.choices.items()),
        method=method,
        choices=job.choices,
        config_sha256=job.sha256,
    )
    group.loggers[run.label].start(info)
    for step, values in run.logged:
        group.loggers[run.label].log(values, step)


def _leave_nothing(runs: Sequence[ArmRun]) -> None:
    """A run that was refused before it took a step leaves nothing in a folder that it found empty."""
    for run in runs:
        if run.is_new and not (run.folder / FILE_NAME).exists():
            shutil.rmtree(run.folder, ignore_errors=True)


def _fit(group: Group, module: Distiller, keeper: Keeper) -> None:
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)  # not what it found, nor its tips
    status = StatusFiles({run.label: run for run in keeper.runs}, group.jobs, group.labels)
    trainer = L.Trainer(
        accelerator=group.options.device,
        **group.strategy.trainer_arguments(),
        max_epochs=1,
        min_epochs=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        callbacks=[keeper, ProgressLine(Console(), keeper.runs), status],
    )
    try:
        if module.steps_done == module.max_steps:
            module.to(trainer.strategy.root_device).on_fit_start()
            keeper.finish(module)
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec")  # Lightning against torch 2.13
            trainer.fit(module, datamodule=group.data)
    except ArmFailedError as reason:
        log.error("Training ends: %s.", reason)


def _record_failure(group: Group, module: Distiller, keeper: Keeper, label: str) -> None:
    """Record a failure at once, so that a restarted sweep skips this arm."""
    if is_first_process():
        failure = module.failures[label]
        log.error("%s, seed %d was stopped after step %d: %s", group.labels[label], group.jobs[label].seed, *failure)
        group.loggers[label].finish(_write_record(group, module, keeper, label))


def _write_record(group: Group, module: Distiller, keeper: Keeper, label: str) -> RunRecord | None:
    """Write the record of an arm that has ended, in the process that writes; its views are closed afterwards."""
    if not is_first_process():
        return None
    run, job = next(run for run in keeper.runs if run.label == label), group.jobs[label]
    record = compose_record(job, group.labels[label], run, module, keeper, group.data, group.options.device)
    log.info("%s: %s", run.title, write_record(run.folder, record))
    return record


def _flat(scores: Scores) -> dict[str, float]:
    """Scores by name as plain numbers, which a checkpoint may hold."""
    matching = {
        f"test/{teacher}/{kind}/{name}": value
        for teacher, kinds in scores.matching.items()
        for kind, values in kinds.items()
        for name, value in values.items()
    }
    return {**{f"test/{name}": float(value) for name, value in (scores.probes | scores.student).items()}, **matching}
