"""One process from its first step to its records: resume, train, evaluate, write."""

import logging
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch.distributed as dist
import yaml
from rich.console import Console

from phis_lab.data import DataModule
from phis_lab.distill.arm import Arm, DivergedError
from phis_lab.distill.checkpoint import load_checkpoint
from phis_lab.distill.estimation import Estimation
from phis_lab.distill.evaluation import Evaluation, Scores
from phis_lab.distill.interrupt import StopRequest
from phis_lab.distill.keeper import ArmRun, Keeper
from phis_lab.distill.module import Distiller
from phis_lab.distill.options import TrainerOptions
from phis_lab.distill.outcome import compose_record
from phis_lab.distill.progress import ProgressLine
from phis_lab.distill.provider import FeatureProvider
from phis_lab.strategies import DataParallel, Single
from phis_lab.tracking import LoggerSet, RunInfo, write_record
from phis_lab.tracking.job import Job

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
    provider: FeatureProvider
    estimation: Estimation
    evaluation: Evaluation


def train_group(group: Group) -> None:
    """Train the arms of a group, evaluate them and write their records.

    Raises:
        DivergedError: every arm did; their records say so.
        SystemExit: the user asked to stop; checkpoints are written.
    """
    runs, module = _resume(group)
    stop = StopRequest()

    def on_scores(label: str, step: int, scores: Scores) -> None:
        group.loggers[label].log(_flat(scores), step)

    loader, every = group.data.eval_loader, group.options.checkpoint_every
    keeper = Keeper(runs, group.evaluation, loader, stop, every, on_scores)
    try:
        for run in runs:
            _start(group, run, module.steps_done)
        with stop.listening():
            _fit(group, module, keeper)
        if stop.requested and module.steps_done < module.max_steps:
            log.warning("Stopped after step %d. The same command goes on from there.", module.steps_done)
            sys.exit(INTERRUPTED)
        if is_first_process():
            _write_records(group, module, keeper)
    finally:
        for logger in group.loggers.values():
            logger.finish()
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()  # the next group of a sweep starts its own
    if not module.live_arms():
        raise DivergedError("; ".join(f"{group.labels[key]}: {reason}" for key, reason in module.failures.items()))


def is_first_process() -> bool:
    """Whether this process writes: the only one, or rank 0 of those that train together."""
    return all(int(os.environ.get(name, "0")) == 0 for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def _resume(group: Group) -> tuple[list[ArmRun], Distiller]:
    states: dict[str, dict[str, Any]] = {}
    for key, job in group.jobs.items():
        state = load_checkpoint(job.folder, job.sha256)
        if state is not None:
            states[key] = state
    steps = {states[key]["step"] if key in states else 0 for key in group.jobs}
    assert len(steps) == 1, f"the arms of a group start at one step, not at {sorted(steps)}"
    start = steps.pop()
    if start:
        log.info("Going on from step %d.", start)
        group.estimation.load_state_dict(next(iter(states.values()))["estimation"])
    group.data.start_step = start
    runs = [
        ArmRun(key, job.folder, job.sha256, group.arms[key], **_past(states.get(key)))
        for key, job in group.jobs.items()
    ]
    module = Distiller(
        group.arms,
        group.provider,
        group.estimation,
        group.options.max_steps,
        resume={key: state["arm"] for key, state in states.items()},
        start_step=start,
        log_every=group.options.log_every,
        logged=lambda key, values, step: group.loggers[key].log(values, step),
    )
    return runs, module


def _past(state: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if state is None else {"history": state["history"], "seconds_before": state["seconds"]}


def _start(group: Group, run: ArmRun, step: int) -> None:
    if not is_first_process():
        group.loggers[run.label] = LoggerSet({})
        return
    job = group.jobs[run.label]
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "config.yaml").write_text(yaml.safe_dump(job.config, sort_keys=False))
    info = RunInfo(name=f"{group.labels[run.label]}/seed{job.seed}", group=job.study, config=job.config, step=step)
    group.loggers[run.label].start(info)


def _fit(group: Group, module: Distiller, keeper: Keeper) -> None:
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)  # not what it found, nor its tips
    trainer = L.Trainer(
        accelerator=group.options.accelerator,
        **group.strategy.trainer_arguments(),
        max_epochs=1,
        min_epochs=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        callbacks=[keeper, ProgressLine(Console())],
    )
    if module.steps_done == module.max_steps:
        module.to(trainer.strategy.root_device).on_fit_start()
        keeper.final = keeper.evaluate(module, final=True)
        return
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec")  # Lightning against torch 2.13
            trainer.fit(module, datamodule=group.data)
    except DivergedError:
        log.error("No arm is left.")


def _write_records(group: Group, module: Distiller, keeper: Keeper) -> None:
    for run in keeper.runs:
        job = group.jobs[run.label]
        record = compose_record(job, group.labels[run.label], run, module, keeper, group.data)
        group.loggers[run.label].finish(record)
        log.info("%s, seed %d: %s", group.labels[run.label], job.seed, write_record(run.folder, record))


def _flat(scores: Scores) -> dict[str, float]:
    matching = {
        f"test/{teacher}/{kind}/{name}": value
        for teacher, kinds in scores.matching.items()
        for kind, values in kinds.items()
        for name, value in values.items()
    }
    return {**{f"test/{name}": value for name, value in scores.probes.items()}, **matching}
