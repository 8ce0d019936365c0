"""A group of arms small enough for a test: real parts, random teachers, the bundled digits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phis_lab.data import Augmentation, DataModule
from phis_lab.data.digits import Digits
from phis_lab.distill import (
    Arm,
    Evaluation,
    FeatureProvider,
    Group,
    OnlineEstimation,
    OptimizerRecipe,
    RandomStream,
    TrainerOptions,
)
from phis_lab.evals import KNN, LinearProbe
from phis_lab.losses import MSE, Uniform
from phis_lab.normalizers import PhiS
from phis_lab.strategies import Single
from phis_lab.students import MLPHead, Student, ViT
from phis_lab.teachers import Features, Teacher, TeacherPool, Weights
from phis_lab.teachers.pixels import Pixels
from phis_lab.tracking import LoggerSet
from phis_lab.tracking.job import Job


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
    **changes: Any,
) -> Arm:
    """An arm whose student has drop path, so that its random stream matters."""
    stream = RandomStream(seed)
    dims = {name: (teacher.summary_dim, teacher.spatial_dim) for name, teacher in pool.teachers.items()}
    with stream.active():
        backbone = ViT(image_size=16, patch_size=patch_size, width=16, depth=2, heads=2, drop_path=drop_path)
        student = Student(
            backbone,
            lambda in_dim, out_dim, *, widest: MLPHead(in_dim, out_dim, hidden=16, widest=widest),
            dims,
        )
    recipe = OptimizerRecipe(torch.optim.AdamW, **{"lr": 1e-2, "weight_decay": 0.02} | changes.pop("recipe", {}))
    normalizers = {name: normalizer(spatial) for name, (_, spatial) in dims.items() if spatial is not None}
    parts = {"loss": MSE(), "balancer": Uniform()} | changes
    return Arm(student, normalizers, parts["loss"], parts["balancer"], recipe, stream, compiled=compiled)


def make_group(
    folder: Path, arms: dict[str, Callable[[TeacherPool], Arm]], views: int | None = None, **options: Any
) -> Group:
    pool = patch_pool()
    built = {key: make(pool) for key, make in arms.items()}
    settings = TrainerOptions(
        **{"max_steps": 12, "precision": "float32", "checkpoint_every": 5, "log_every": 4} | options
    )
    source = Digits(batch_size=16, train_images=64, test_images=40)
    data = DataModule(source, Augmentation(16, views=views), settings.max_steps)
    grids = {arm.grid for arm in built.values()}
    estimation = OnlineEstimation(steps=6, refresh_every=2, warmup_steps=2)
    estimation.start({name: {"sha256": "x"} for name in pool.teachers}, grids)
    evaluation = Evaluation(
        {"knn": KNN(k=3), "linear_probe": LinearProbe()},
        every=8,
        train_images=40,
        test_images=20,
        matching_images=20,
    )
    evaluation.prepare(pool, grids, settings.memory_gb)
    return Group(
        jobs={key: make_job(folder / key) for key in arms},
        labels={key: key for key in arms},
        arms=built,
        loggers={key: LoggerSet({}) for key in arms},
        options=settings,
        strategy=Single(),
        data=data,
        provider=FeatureProvider(pool, grids, len(source.train), views, settings.memory_gb),
        estimation=estimation,
        evaluation=evaluation,
    )


def make_job(folder: Path) -> Job:
    return Job({"seed": 0}, folder, {"normalizer": "phis"}, (), "test", "0" * 64, "python run.py")
