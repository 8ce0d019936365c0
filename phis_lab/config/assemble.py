"""From the jobs of a group to the objects that train: the cheap and refusable first, teachers and data last."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phis_lab.config.build import build
from phis_lab.data import DataModule
from phis_lab.distill import (
    Arm,
    FeatureProvider,
    Group,
    OptimizerRecipe,
    RandomStream,
    TrainerOptions,
)
from phis_lab.losses import Balancer, Loss
from phis_lab.students import Backbone, HeadFactory, Student
from phis_lab.teachers import TeacherPool
from phis_lab.tracking import LoggerSet
from phis_lab.tracking.job import Job

TRIAL_DIM = 4


def assemble(jobs: Sequence[Job], labels: Mapping[Path, str]) -> Group:
    """Build what a group needs.

    Args:
        jobs: jobs that agree in everything shared.
        labels: method of each job, by folder.
    """
    shared = jobs[0].config
    parts = {_key(job, labels): _ArmParts(job) for job in jobs}
    assert len(parts) == len(jobs), f"two jobs of a group have the same name: {sorted(map(str, labels.values()))}"
    options = build(shared["trainer"], "trainer")
    strategy = build(shared["strategy"], "strategy")
    estimation, evaluation = (
        build(shared["estimation"], "estimation"),
        build(shared["evaluation"], "evaluation"),
    )
    augmentation = build(shared["augmentation"], "augmentation")
    source = build(shared["data"], "data")
    data = DataModule(source, augmentation, options.max_steps)
    pool = TeacherPool(build_teachers(shared["teachers"]), precision=options.teacher_precision)
    dims = {name: (teacher.summary_dim, teacher.spatial_dim) for name, teacher in pool.teachers.items()}
    arms = {key: part.arm(dims) for key, part in parts.items()}
    grids = {arm.grid for arm in arms.values()}
    provider = FeatureProvider(pool, grids, len(source.train), augmentation.views, options.memory_gb)
    estimation.start({name: {k: str(v) for k, v in facts.items()} for name, facts in pool.describe().items()}, grids)
    evaluation.prepare(pool, grids, options.memory_gb)
    return Group(
        jobs={_key(job, labels): job for job in jobs},
        labels={_key(job, labels): labels[job.folder] for job in jobs},
        arms=arms,
        loggers={key: part.loggers for key, part in parts.items()},
        options=options,
        strategy=strategy,
        data=data,
        provider=provider,
        estimation=estimation,
        evaluation=evaluation,
    )


class _ArmParts:
    """The parts of one arm that need no teacher, built at once so that a bad value is refused early."""

    def __init__(self, job: Job) -> None:
        config = job.config
        self.config = config
        self.options: TrainerOptions = build(config["trainer"], "trainer")
        self.loss: Loss = build(config["loss"], "loss")
        self.balancer: Balancer = build(config["balancer"], "balancer")
        self.recipe: OptimizerRecipe = build(config["optimizer"], "optimizer")
        self.head: HeadFactory = build(config["head"], "head")
        self.loggers = LoggerSet(
            {
                name: build(node, f"logger.{name}", _partial_=False, folder=str(job.folder))
                for name, node in config["logger"].items()
            }
        )
        build(config["normalizer"], "normalizer", _partial_=False, dim=TRIAL_DIM)
        self.stream = RandomStream(job.seed)
        with self.stream.active():
            self.backbone: Backbone = build(config["student"], "student")

    def arm(self, dims: Mapping[str, tuple[int | None, int | None]]) -> Arm:
        with self.stream.active():
            student = Student(self.backbone, self.head, dims)
        normalizers = {
            name: build(self.config["normalizer"], "normalizer", _partial_=False, dim=spatial)
            for name, (_, spatial) in dims.items()
            if spatial is not None
        }
        low = self.options.low_precision
        return Arm(student, normalizers, self.loss, self.balancer, self.recipe, self.stream, low)


def build_teachers(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Every teacher of a set; what is missing is said of all of them at once.

    Raises:
        ValueError: weights of one or more teachers are missing.
    """
    teachers: dict[str, Any] = {}
    missing: list[str] = []
    for name, node in nodes.items():
        try:
            teachers[name] = build(node, f"teachers.{name}")
        except (ValueError, FileNotFoundError) as error:
            missing.append(str(error))
    if missing:
        raise ValueError("\n".join(missing))
    return teachers


def _key(job: Job, labels: Mapping[Path, str]) -> str:
    """Name of an arm inside its group; module names may hold no dot."""
    return f"{labels[job.folder]} seed {job.seed}".replace(".", "_")
