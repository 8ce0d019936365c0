"""From the jobs of a group to the objects that train: the cheap and refusable first, teachers and data last."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from phis_lab.config.build import Dims, build, build_spaces, target_dims
from phis_lab.config.combinations import refuse_devices, refuse_shift, refuse_unstorable, refuse_weights
from phis_lab.config.sources import built_sources
from phis_lab.config.stage_options import build_stages, read_stages
from phis_lab.config.teachers import Catalogue, split
from phis_lab.data import DataModule, DataSource
from phis_lab.data.stage_plans import boundaries, check_batches
from phis_lab.engine import Arm, Group, OptimizerRecipe, Run, TrainerOptions
from phis_lab.engine.stages import places
from phis_lab.losses import Balancer, Loss
from phis_lab.runs.job import Job
from phis_lab.runs.loggers import LoggerSet
from phis_lab.seeds import RandomStream
from phis_lab.students import Backbone, HeadFactory, Student
from phis_lab.teachers import check_available

TRIAL_DIM = 4


def assemble(jobs: Sequence[Job], labels: Mapping[Path, str], source: DataSource | None = None) -> Group:
    """Build what a group needs.

    Args:
        jobs: jobs that agree in everything shared.
        labels: method of each job, by folder.
        source: their data, which may be read already; None builds them anew.

    Raises:
        ValueError: an option that a constructor refuses, or weights that cannot be reached, with its name.
    """
    shared = jobs[0].config
    members, chosen = split(shared["teachers"])
    check_available(members)
    parts = [_ArmParts(job) for job in jobs]
    options = build(shared["trainer"], "trainer")
    strategy = build(shared["strategy"], "strategy")
    refuse_devices(options, strategy)
    estimation = build(shared["estimation"], "estimation")
    evaluation = build(shared["evaluation"], "evaluation")
    augmentation = build(shared["augmentation"], "augmentation")
    refuse_unstorable(chosen, augmentation)
    source = build(shared["data"], "data") if source is None else source
    plans = read_stages(shared.get("stages"), members)
    data = DataModule(source, augmentation, options.max_steps, plans, evaluation.data)
    check_batches(plans, source.batch_size, len(source.train), strategy.processes)
    for first, end in boundaries(plans, options.max_steps):
        estimation.check(end - first)
        for part in parts:
            part.recipe.check(end - first - estimation.first_step)
    refuse_weights(plans, [part.balancer for part in parts])
    evaluation.check(data.eval_loader, members)
    backbones = [part.backbone for part in parts]
    if augmentation.shift:
        refuse_shift(augmentation, plans, backbones, chosen)
    catalogue = Catalogue(members, chosen, options.teacher_precision)
    stages = build_stages(data, backbones, catalogue, chosen, options, evaluation)
    dims = catalogue.dims()
    for part in parts:
        part.loss.check({name: summary for name, (summary, _) in dims.items()})
    runs = [
        Run(
            _key(job, labels[job.folder]),
            labels[job.folder],
            job,
            part.arm(dims),
            part.loggers,
            built_sources(job.config, source, stages, evaluation.data),
        )
        for job, part in zip(jobs, parts, strict=True)
    ]
    for stage in stages:
        estimation.check_files(
            stage.provenance, {place for part in backbones for place in places(stage, part.grid_at).items()}
        )
    return Group(runs, options, strategy, data, stages, estimation, evaluation)


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
        build_spaces(config["normalizer"], {"trial": (None, TRIAL_DIM)}, width=TRIAL_DIM)
        self.stream = RandomStream(job.seed)
        with self.stream.active():
            self.backbone: Backbone = build(config["student"], "student")

    def arm(self, dims: Dims) -> Arm:
        spaces = build_spaces(self.config["normalizer"], dims, self.backbone.width)
        with self.stream.active():
            student = Student(self.backbone, self.head, target_dims(spaces, dims))
        low, compiled = self.options.low_precision, self.options.compile
        parts = self.loss, self.balancer, self.recipe, self.stream
        return Arm(student, spaces, *parts, low_precision=low, compiled=compiled)


def _key(job: Job, label: str) -> str:
    """Name of a run that no other of its group has; module names may hold no dot."""
    return f"{label} seed {job.seed} {job.sha256[:8]}".replace(".", "_")
