"""From the jobs of a group to the objects that train, once their options refuse nothing of each other."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from phis_lab.config.build import Dims, build, build_spaces, target_dims
from phis_lab.config.sources import built_sources
from phis_lab.config.stage_options import build_stages, read_stages
from phis_lab.config.teachers import Catalogue, TeacherOptions, split
from phis_lab.data import Augmentation, DataModule, DataSource, StagePlan
from phis_lab.data.stage_plans import boundaries, check_batches
from phis_lab.engine import Arm, Group, OptimizerRecipe, Run, TrainerOptions
from phis_lab.engine.division import refuse_shared_statistics
from phis_lab.engine.stages import places
from phis_lab.losses import Balancer, Loss
from phis_lab.runs.job import Job
from phis_lab.runs.loggers import LoggerSet
from phis_lab.seeds import RandomStream
from phis_lab.strategies import DataParallel, FullyShardedData, Single, TeacherPartition
from phis_lab.strategies.launchers import local_rank, refuse_other_processes
from phis_lab.students import Backbone, HeadFactory, Student
from phis_lab.teachers import check_available

TRIAL_DIM = 4


def refuse_devices(options: TrainerOptions, strategy: Single | DataParallel) -> None:
    """Raise ValueError where a machine has no GPU, or fewer than processes, or a backend that needs one."""
    try:
        device = options.device
    except ValueError as error:
        raise ValueError(f"trainer.{error}") from error
    if not isinstance(strategy, DataParallel):
        return
    if device == "cpu" and strategy.backend == "nccl":
        raise ValueError("strategy.backend=nccl talks between GPUs, and the run is on CPUs; choose gloo or null")
    there = torch.cuda.device_count() if device == "cuda" else strategy.devices
    if strategy.devices > there:
        raise ValueError(
            f"strategy.devices={strategy.devices}, and this machine shows {there} GPU(s), one for each process; "
            f"choose strategy.devices={there}, or trainer.accelerator=cpu"
        )


def refuse_shift(
    augmentation: Augmentation, plans: Mapping[str, StagePlan], backbones: Sequence[Backbone], options: TeacherOptions
) -> None:
    """Raise ValueError unless crops can be shifted by whole tokens that student and teacher have in common."""
    shift, patches = augmentation.shift, sorted({backbone.patch_size for backbone in backbones})
    if options.match != "student":
        raise ValueError("augmentation.shift counts the student's tokens; set teachers.match=student")
    if len(patches) > 1 or shift % patches[0]:
        raise ValueError(f"augmentation.shift={shift} must be a multiple of the students' patch, which is {patches}")
    for partition in (partition for plan in plans.values() for partition in plan.partitions.values()):
        shown = augmentation.resized(partition.scale).image_size
        sides = {backbone.image_size_at(partition.scale) for backbone in backbones}
        if sides != {shown}:
            raise ValueError(
                f"augmentation.shift wants images of the students' own sizes, and those of {shown} px become "
                f"{', '.join(map(str, sorted(sides)))} px; set augmentation.image_size, or another size in stages"
            )
        if shift >= shown:
            raise ValueError(f"augmentation.shift={shift} leaves crops of {shown} px nothing in common; lower it")


def refuse_weights(plans: Mapping[str, StagePlan], balancers: Iterable[Balancer]) -> None:
    """Raise ValueError where weights are listed for the rows of all teachers and a partition shows only some."""
    some = any(isinstance(part.teachers, Mapping) for plan in plans.values() for part in plan.partitions.values())
    if some and any(getattr(balancer, "weights", None) is not None for balancer in balancers):
        raise ValueError("balancer.weights lists the rows of all teachers, and partitions show some; leave it out")


def refuse_unstorable(options: TeacherOptions, augmentation: Augmentation) -> None:
    """Raise ValueError where features would be stored of views that nobody sees again, or on no student's grid."""
    if options.store is not None and options.match != "student":
        raise ValueError("teachers.store keeps features on the students' grids; set teachers.match=student")
    if options.store is not None and augmentation.views is None:
        raise ValueError(
            "teachers.store keeps features of fixed views, and augmentation.views=null draws fresh ones in every "
            "epoch; set augmentation.views to a number, or augmentation=none, or leave teachers.store out"
        )


def refuse_divided(options: TrainerOptions, strategy: Single | DataParallel, arms: Iterable[Arm]) -> None:
    """Raise ValueError where students are divided among processes and something needs them whole in each step."""
    if not isinstance(strategy, FullyShardedData):
        return
    if options.compile or options.microbatch is not None:
        option = "compile=true" if options.compile else f"microbatch={options.microbatch}"
        raise ValueError(
            f"trainer.{option} calls a student beside the gathering of its parameters by strategy=fsdp2; choose "
            "strategy=ddp, or leave it out"
        )
    for arm in arms:
        if any(True for _ in arm.spaces.parameters()):
            raise ValueError(
                "strategy=fsdp2 divides students, and maps that train themselves (normalizer=teacher_in_the_middle) "
                "are no part of one; choose strategy=ddp"
            )


def refuse_store_of_parts(options: TeacherOptions, strategy: Single | DataParallel) -> None:
    """Raise ValueError where processes that fill a store together would hold different teachers."""
    if options.store is not None and isinstance(strategy, TeacherPartition):
        raise ValueError(
            "teachers.store is filled by all processes together, and strategy=teacher_partition gives them different "
            "teachers; fill it with `phis-lab cache` and train with strategy=ddp, or leave teachers.store out"
        )


def refuse_undivided(plans: Mapping[str, StagePlan], source: DataSource, strategy: Single | DataParallel) -> None:
    """Raise ValueError where processes do not divide among partitions, or images of a step among processes."""
    ranks = None
    if isinstance(strategy, TeacherPartition):
        check_batches(plans, source.batch_size, len(source.train))
        ranks = strategy.divide({name: plan.batch_sizes(source.batch_size) for name, plan in plans.items()})
    check_batches(plans, source.batch_size, len(source.train), strategy.processes, ranks)


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
    refuse_other_processes(strategy)
    if options.device == "cuda":  # else every process would first take memory of the first GPU
        torch.cuda.set_device(local_rank() % torch.cuda.device_count())
    estimation = build(shared["estimation"], "estimation")
    evaluation = build(shared["evaluation"], "evaluation")
    augmentation = build(shared["augmentation"], "augmentation")
    refuse_unstorable(chosen, augmentation)
    refuse_store_of_parts(chosen, strategy)
    source = build(shared["data"], "data") if source is None else source
    plans = read_stages(shared.get("stages"), members)
    data = DataModule(source, augmentation, options.max_steps, plans, evaluation.data)
    refuse_undivided(plans, source, strategy)
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
    refuse_divided(options, strategy, [run.arm for run in runs])
    for stage in stages:
        estimation.check_files(
            stage.provenance, {place for part in backbones for place in places(stage, part.grid_at).items()}
        )
    if isinstance(strategy, TeacherPartition):
        refuse_shared_statistics(stages, runs)
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
        spaces = build_spaces(self.config["normalizer"], dims, self.backbone.width, self.options.target_products)
        with self.stream.active():
            student = Student(self.backbone, self.head, target_dims(spaces, dims))
        options = self.options
        parts = self.loss, self.balancer, self.recipe, self.stream
        return Arm(student, spaces, *parts, options.low_precision, options.compile, options.microbatch)


def _key(job: Job, label: str) -> str:
    """Name of a run that no other of its group has; module names may hold no dot."""
    return f"{label} seed {job.seed} {job.sha256[:8]}".replace(".", "_")
