"""A group of arms small enough for a test: real parts, random teachers, the bundled digits."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from shapes_of_users import unchecked
from torch import Tensor, nn

from phis_lab.data import ONE_STAGE, Augmentation, DataModule, PartitionPlan, StagePlan
from phis_lab.data.digits import Digits
from phis_lab.data.stage_plans import boundaries
from phis_lab.engine import (
    Arm,
    Evaluation,
    FeatureProvider,
    Group,
    OnlineEstimation,
    OptimizerRecipe,
    Partition,
    Run,
    Stage,
    TrainerOptions,
    train_group,
)
from phis_lab.evals import KNN, LinearProbe
from phis_lab.features import Features
from phis_lab.losses import MSE, Uniform
from phis_lab.normalizers import PhiS, TeacherSpace
from phis_lab.runs.job import Job
from phis_lab.seeds import RandomStream
from phis_lab.strategies import Single
from phis_lab.students import MLPHead, Student, ViT
from phis_lab.teachers import Teacher, TeacherPool, Weights
from phis_lab.teachers.pixels import Pixels


class PatchTeacher(Teacher):
    """A random linear map of 8-pixel patches, `scale` times as loud; its summary is the mean."""

    def __init__(self, name: str, dim: int, scale: float, seed: int) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = nn.Conv2d(3, dim, 8, 8)
        super().__init__(
            name=name,
            network=network,
            pixels=Pixels(32),
            weights=Weights("random", str(seed)),
            layer="conv",
            spatial_dim=dim,
            summary_dim=dim,
        )
        self.scale = scale
        self.calls = 0

    def features(self, x: Tensor) -> Features:
        self.calls += 1
        spatial = self.scale * self.network(x).permute(0, 2, 3, 1).tanh()
        return Features(spatial.mean(dim=(1, 2)), spatial)


def patch_pool() -> TeacherPool:
    teachers = {"quiet": PatchTeacher("quiet", 12, 0.1, 1), "loud": PatchTeacher("loud", 20, 20.0, 2)}
    return TeacherPool(teachers, precision="float32")


def make_arm(
    pool: TeacherPool,
    normalizer: Callable[[int], nn.Module] = PhiS,
    seed: int = 0,
    drop_path: float = 0.3,
    compiled: bool = False,
    patch_size: int = 8,
    spectral: bool = False,
    low_precision: torch.dtype | None = None,
    microbatch: int | None = None,
    **changes: Any,
) -> Arm:
    """An arm whose student has drop path, so that its random stream matters."""
    stream = RandomStream(seed)
    dims = {name: (teacher.summary_dim, teacher.spatial_dim) for name, teacher in pool.teachers.items()}
    with stream.active():
        backbone = ViT(
            image_size=16, patch_size=patch_size, width=16, depth=2, heads=2, drop_path=drop_path, spectral=spectral
        )
        student = Student(
            backbone,
            lambda in_dim, out_dim, *, widest: MLPHead(in_dim, out_dim, hidden=16, widest=widest),
            dims,
        )
    usual = {"optimizer": torch.optim.AdamW, "lr": 1e-2, "weight_decay": 0.02}
    recipe = OptimizerRecipe(**usual | changes.pop("recipe", {}))
    spaces = {name: TeacherSpace(name, normalizer(spatial)) for name, (_, spatial) in dims.items()}
    loss, balancer = changes.pop("loss", MSE()), changes.pop("balancer", Uniform())
    assert not changes
    return Arm(student, spaces, loss, balancer, recipe, stream, low_precision, compiled, microbatch)


def make_group(
    folder: Path,
    arms: dict[str, Callable[[TeacherPool], Arm]],
    views: int | None = None,
    stages: Mapping[str, StagePlan] = ONE_STAGE,
    shift: int = 0,
    **options: Any,
) -> Group:
    pool = patch_pool()
    built = {key: make(pool) for key, make in arms.items()}
    settings = TrainerOptions(
        **{"max_steps": 12, "precision": "float32", "checkpoint_every": 5, "log_every": 4} | options
    )
    source = Digits(batch_size=16, train_images=64, test_images=40)
    data = DataModule(source, Augmentation(16, views=views, shift=shift), settings.max_steps, stages)
    estimation = OnlineEstimation(steps=6, refresh_every=2, warmup_steps=2)
    evaluation = Evaluation(
        {"knn": KNN(k=3), "linear_probe": LinearProbe()},
        every=8,
        train_images=40,
        test_images=20,
        matching_images=20,
    )
    return Group(
        runs=[Run(key, key, make_job(folder / key), arm) for key, arm in built.items()],
        options=settings,
        strategy=Single(),
        data=data,
        stages=make_stages(data, pool, list(built.values()), settings),
        estimation=estimation,
        evaluation=evaluation,
    )


def run_of(group: Group, key: str) -> Run:
    """The run of a group that has this key."""
    return next(run for run in group.runs if run.key == key)


def make_stages(data: DataModule, pool: TeacherPool, arms: list[Arm], settings: TrainerOptions) -> list[Stage]:
    """The stages of the data module, all of whose partitions every teacher sees."""
    facts = {name: {"teacher": name, "sha256": "x", "image_size": "32"} for name in pool.teachers}
    stages = []
    for (name, plan), (first, end) in zip(data.stages.items(), boundaries(data.stages, data.steps), strict=True):
        partitions = {key: make_partition(data, part, pool, arms, settings) for key, part in plan.partitions.items()}
        stages.append(Stage(name, first, end, partitions, dict.fromkeys(partitions, facts)))
    return stages


def make_partition(
    data: DataModule, plan: PartitionPlan, pool: TeacherPool, arms: list[Arm], settings: TrainerOptions
) -> Partition:
    grids = {arm.grid_at(plan.scale) for arm in arms}
    if plan.teachers is not None:
        pool = TeacherPool({name: pool.teachers[name] for name in plan.factors(pool.teachers)})
    augmentation = data.augmentation.resized(plan.scale)
    return Partition(
        plan=plan,
        batch_size=plan.batch_size(data.source.batch_size),
        image_size=augmentation.image_size,
        shift=augmentation.shift,
        train=FeatureProvider(pool, grids, len(data.source.train), augmentation.views, settings.memory_gb),
        test=FeatureProvider(pool, grids, 20, 1, settings.memory_gb),
        loader=partial(data.eval_loader, partition=plan),
    )


def make_job(folder: Path) -> Job:
    return Job({"seed": 0}, folder, {"normalizer": "phis"}, (), "test", "0" * 64, "python run.py")


class WholeRuns:
    """Runs that nothing interrupts, each trained once for all the tests that compare with it.

    Their shapes are not checked, because those that they are compared with compute the same.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trained: dict[tuple[object, ...], Path] = {}

    def __call__(self, arms: Mapping[str, Callable[[TeacherPool], Arm]], **options: Any) -> Path:
        """Returns the folder in which each of the arms has its run."""
        key = (tuple(arms.items()), repr(sorted(options.items())))
        if key not in self.trained:
            folder = self.root / str(len(self.trained))
            with unchecked():
                train_group(make_group(folder, dict(arms), **options))
            self.trained[key] = folder
        return self.trained[key]

    def solo(self, key: str, make: Callable[[TeacherPool], Arm], **options: Any) -> Path:
        """Returns the folder of an arm's run without others."""
        return self({key: make}, **options) / key


def compared(name: str, tensor: Tensor) -> Tensor:
    """A parameter without what no loss depends on, for comparisons of runs that round differently.

    A bias that all keys of an attention share shifts every logit of a query alike and leaves its softmax as it is. Its
    gradient is rounding alone, and Adam follows it by steps as long as those of any other.
    """
    if not name.endswith("qkv.bias"):
        return tensor
    query, _, value = tensor.chunk(3)
    return torch.cat([query, value])
