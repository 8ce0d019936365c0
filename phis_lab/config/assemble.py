"""From the jobs of a group to the objects that train: the cheap and refusable first, teachers and data last."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from phis_lab.config.build import build
from phis_lab.config.pool import build_pool
from phis_lab.config.store import open_stores, refuse_fresh_views
from phis_lab.config.teachers import split
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
from phis_lab.teachers import TeacherPool, check_available
from phis_lab.tracking import LoggerSet
from phis_lab.tracking.job import Job

TRIAL_DIM = 4


def assemble(jobs: Sequence[Job], labels: Mapping[Path, str]) -> Group:
    """Build what a group needs.

    Args:
        jobs: jobs that agree in everything shared.
        labels: method of each job, by folder.

    Raises:
        ValueError: an option that a constructor refuses, or weights that cannot be reached, with its name.
    """
    shared = jobs[0].config
    members, chosen = split(shared["teachers"])
    check_available(members)
    named = {_key(job, labels): job for job in jobs}
    parts = {key: _ArmParts(job) for key, job in named.items()}
    options = build(shared["trainer"], "trainer")
    strategy = build(shared["strategy"], "strategy")
    estimation = build(shared["estimation"], "estimation")
    evaluation = build(shared["evaluation"], "evaluation")
    augmentation = build(shared["augmentation"], "augmentation")
    refuse_fresh_views(chosen, augmentation)
    source = build(shared["data"], "data")
    data = DataModule(source, augmentation, options.max_steps)
    estimation.check(options.max_steps)
    evaluation.check(data.eval_loader)
    if source.batch_size % strategy.processes:
        raise ValueError(f"data.batch_size={source.batch_size} does not divide among {strategy.processes} processes")
    grids = {part.backbone.grid for part in parts.values()}
    pool = build_pool(members, chosen, options.teacher_precision, grids)
    dims = {name: (teacher.summary_dim, teacher.spatial_dim) for name, teacher in pool.teachers.items()}
    arms = {key: part.arm(dims) for key, part in parts.items()}
    stores = open_stores(chosen, pool, grids, data, evaluation)
    provider = FeatureProvider(pool, grids, len(source.train), augmentation.views, options.memory_gb, stores.train)
    estimation.start(_provenance(pool, options.device, source.train.fingerprint), grids)
    evaluation.prepare(pool, grids, options.memory_gb, stores.test)
    return Group(
        jobs=named,
        labels={key: labels[job.folder] for key, job in named.items()},
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
        low, compiled = self.options.low_precision, self.options.compile
        return Arm(student, normalizers, self.loss, self.balancer, self.recipe, self.stream, low, compiled)


def _provenance(pool: TeacherPool, device: str, data: str) -> dict[str, dict[str, str]]:
    """What identifies the spatial features of each teacher that has any, wherever its weights lie."""
    return {
        name: {"teacher": name, "data": data} | {key: str(value) for key, value in facts.items() if key != "source"}
        for name, facts in pool.describe(device).items()
        if facts["spatial_dim"] is not None
    }


def _key(job: Job, labels: Mapping[Path, str]) -> str:
    """Name of an arm that no other of its group has; module names may hold no dot."""
    return f"{labels[job.folder]} seed {job.seed} {job.sha256[:8]}".replace(".", "_")
