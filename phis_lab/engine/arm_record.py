"""The record of a finished arm."""

from collections.abc import Iterable, Mapping

from phis_lab.data import DataModule, DataSource
from phis_lab.data.source import digest
from phis_lab.engine.distiller import Distiller
from phis_lab.engine.evaluation import Scores
from phis_lab.engine.run import Run
from phis_lab.normalizers import FeatureMap
from phis_lab.runs import Data, HistoryPoint, Metric, RunRecord, environment, git_commit


def compose_record(run: Run, module: Distiller, data: DataModule, device: str) -> RunRecord:
    """Everything that tables and figures may ask of a run; a diverged arm has a reason instead of metrics."""
    job, scores, failure, facts = run.job, run.scores, run.failure, environment()
    steps = module.steps_done if failure is None else failure.step
    return RunRecord(
        name=job.study,
        method=run.label,
        status="complete" if failure is None else "failed",
        failure=None if failure is None else failure.reason,
        choices=job.choices,
        overrides=list(job.overrides),
        seed=job.seed,
        config_sha256=job.sha256,
        command=job.command,
        commit=git_commit(),
        data=_data(data.source),
        evaluation_data=evaluation_data(data),
        teachers=_teachers(module, run.arm.student.teachers, device),
        normalizers={name: _describe(made) for name in run.arm.spaces if (made := run.arm.space(name).spatial)},
        sources=dict(run.sources),
        metrics={} if scores is None else measured(scores),
        teacher_metrics={} if scores is None else scores.matching,
        history=[HistoryPoint(**point) for point in run.history],
        steps=steps,
        images=_images(module, steps),
        wall_time_s=run.seconds,
        images_per_s=run.images_per_s,
        corrupt_images=len(run.corrupt_names),
        versions=facts.versions,
        device=facts.device | {"arms": len(module.runs)},
        trained_on=run.trained_on,
    )


def _teachers(module: Distiller, names: Iterable[str], device: str) -> dict[str, dict[str, str | int]]:
    """What identifies each teacher, where it was seen first, in the student's order."""
    found: dict[str, dict[str, str | int | None]] = {}
    for stage in module.stages:
        for partition in stage.partitions.values():
            found = partition.train.pool.describe(device) | found
    return {name: _without_none(found[name]) for name in names}


def _images(module: Distiller, steps: int) -> int:
    """Images of the first `steps` steps, over all processes."""
    return sum(max(0, min(steps, stage.end) - stage.first) * stage.batch_size for stage in module.stages)


def measured(scores: Scores) -> dict[str, Metric]:
    """What an evaluation gave of one arm, as a record states it; teacher matching stands apart."""
    return {
        name: Metric(
            value=float(score),
            unit=score.unit,
            higher_is_better=score.higher_is_better,
            detail=score.detail,
            floor=score.floor,
        )
        for name, score in (scores.probes | scores.student).items()
    }


def evaluation_data(data: DataModule) -> Data | None:
    """The data set of probes and tasks, where its images are others than those of training."""
    training, measured_on = _data(data.source), _data(data.labelled)
    return None if measured_on.fingerprint == training.fingerprint else measured_on


def _data(source: DataSource) -> Data:
    train, test = source.train, source.test
    return Data(
        name=train.name.partition("/")[0],
        fingerprint=digest(train.fingerprint, test.fingerprint),
        train_images=len(train),
        test_images=len(test),
    )


def _describe(method: FeatureMap) -> dict[str, str]:
    facts = {"class": type(method).__name__}
    rotation = getattr(method, "rotation", None)
    return facts if rotation is None else facts | {"rotation": str(rotation)}


def _without_none(facts: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in facts.items() if value is not None}
