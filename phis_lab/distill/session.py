"""One process from its first step to its records: resume, train, evaluate, write."""

import logging
import os
import sys
import warnings
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch.distributed as dist
import yaml
from rich.console import Console

from phis_lab.data import DataModule
from phis_lab.distill.arm import Arm, ArmFailedError
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
        ArmFailedError: every arm did; their records say so.
        SystemExit: the user asked to stop; checkpoints are written.
    """
    runs, module = _resume(group)
    stop = StopRequest()

    def on_scores(label: str, step: int, scores: Scores) -> None:
        group.loggers[label].log(_flat(scores), step)

    loader, every = group.data.eval_loader, group.options.checkpoint_every
    keeper = Keeper(runs, group.evaluation, loader, stop, every, on_scores)
    keeper.corrupt_names.update(name for run in runs for name in run.corrupt_before)
    try:
        for run in runs:
            _start(group, run, module.steps_done)
        with stop.listening():
            _fit(group, module, keeper)
        if stop.requested and module.steps_done < module.max_steps:
            log.warning("Stopped after step %d. The same command goes on from there.", module.steps_done)
            _leave(INTERRUPTED)
        if is_first_process():
            _write_records(group, module, keeper)
        if stop.requested:
            _leave(INTERRUPTED)
    finally:
        for logger in group.loggers.values():
            logger.finish()
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()  # the next group of a sweep starts its own
    if not module.live_arms() and is_first_process():
        reasons = [f"{group.labels[key]}: {failure.reason}" for key, failure in module.failures.items()]
        raise ArmFailedError("; ".join(reasons))


def is_first_process() -> bool:
    """Whether this process writes: the only one, or rank 0 of those that train together."""
    return all(int(os.environ.get(name, "0")) == 0 for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def _leave(code: int) -> None:
    """Exit; only the first process says so, for a launcher takes the others' codes for a crash and kills the first."""
    sys.exit(code if is_first_process() else 0)


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
        group.estimation.load_state_dict(dict(ChainMap(*(state["estimation"] for state in states.values()))))
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
    for state in states.values():
        module.images_seen, module.seconds = state["images_seen"], state["train_seconds"]
    return runs, module


def _past(state: Mapping[str, Any] | None) -> dict[str, Any]:
    if state is None:
        return {}
    before = {"seconds_before": state["seconds"], "corrupt_before": state["corrupt_names"]}
    return {"history": state["history"]} | before


def _start(group: Group, run: ArmRun, step: int) -> None:
    if not is_first_process():
        group.loggers[run.label] = LoggerSet({})
        return
    job = group.jobs[run.label]
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "config.yaml").write_text(yaml.safe_dump(job.config, sort_keys=False))
    name = f"{group.labels[run.label]}/seed{job.seed}"
    info = RunInfo(name=name, group=job.study, config=job.config, step=step, tags=tuple(job.choices.values()))
    group.loggers[run.label].start(info)
    for point in run.history:
        if point["step"] >= step:  # dropped by the loggers with all that a stopped run may have logged since
            group.loggers[run.label].log(_flat(Scores(point["metrics"], point["teacher_metrics"])), point["step"])


def _fit(group: Group, module: Distiller, keeper: Keeper) -> None:
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)  # not what it found, nor its tips
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
        callbacks=[keeper, ProgressLine(Console())],
    )
    try:
        if module.steps_done == module.max_steps:
            module.to(trainer.strategy.root_device).on_fit_start()
            keeper.final = keeper.evaluate(module, final=True)
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec")  # Lightning against torch 2.13
            trainer.fit(module, datamodule=group.data)
    except ArmFailedError as reason:
        log.error("Training ends: %s.", reason)


def _write_records(group: Group, module: Distiller, keeper: Keeper) -> None:
    for run in keeper.runs:
        job = group.jobs[run.label]
        record = compose_record(job, group.labels[run.label], run, module, keeper, group.data, group.options.device)
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
