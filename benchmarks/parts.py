"""Parts for benchmarks whose subject is not the pocket recipe: random teachers, arms by hand, frozen statistics."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phis_lab.data import Batch
from phis_lab.engine import Arm, Estimation, OptimizerRecipe, Run
from phis_lab.engine.estimation.base import Place, PlacedFeatures, Provenance
from phis_lab.features import Features
from phis_lab.linalg import Moments
from phis_lab.losses import MSE, Uniform
from phis_lab.normalizers import Normalizer, PhiS, TeacherSpace
from phis_lab.precision import Products
from phis_lab.runs.job import Job
from phis_lab.seeds import RandomStream
from phis_lab.students import MLPHead, Student, ViT
from phis_lab.teachers import Teacher, TeacherPool, Weights
from phis_lab.teachers.pixels import Pixels


class PatchTeacher(Teacher):
    """A random linear map of square patches: a teacher that costs next to nothing.

    Args:
        name: key of the teacher in its set.
        dim: channels.
        image_size: side in pixels.
        patch_size: side of a patch in pixels.
    """

    def __init__(self, name: str, dim: int, image_size: int = 16, patch_size: int = 8) -> None:
        super().__init__(
            name=name,
            network=nn.Conv2d(3, dim, patch_size, patch_size),
            pixels=Pixels(image_size),
            weights=Weights("random", "0"),
            layer="convolution",
            spatial_dim=dim,
        )

    def features(self, x: Tensor) -> Features:
        """Spatial features alone."""
        return Features(None, self.network(x).permute(0, 2, 3, 1))


class FrozenEstimation(Estimation):
    """Statistics that are complete: a step does what it does once nothing is gathered any more."""

    def __init__(self) -> None:
        self.moments = {}

    def start(self, provenance: Provenance, places: set[Place], steps: int) -> None:
        """Nothing to prepare."""

    def observe(self, features: PlacedFeatures, step: int) -> bool:
        """Never fit."""
        return False


class Batches:
    """Ready batches, without a length, as the training loader has none."""

    def __init__(self, batches: list[dict[str, Batch]]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[dict[str, Batch]]:
        return iter(self._batches)


def arm_of(
    pool: TeacherPool,
    backbone: ViT,
    normalizer: type[Normalizer] = PhiS,
    head: Callable[..., nn.Module] = MLPHead,
    low_precision: torch.dtype | None = None,
    products: Products = "float32",
) -> Arm:
    """An arm with mean squared error and AdamW at a constant rate; its normalisers are fitted on random features."""
    dims = {name: (teacher.summary_dim, teacher.spatial_dim) for name, teacher in pool.teachers.items()}
    student = Student(backbone, head, dims)
    spaces = {
        name: TeacherSpace(name, _fitted(normalizer(dim)), products=products) for name, (_, dim) in dims.items() if dim
    }
    recipe = OptimizerRecipe(_adamw, lr=1e-3, warmup=0.0, final=1.0)
    return Arm(student, spaces, MSE(), Uniform(), recipe, RandomStream(0), low_precision)


def run_of(arm: Arm, key: str = "arm") -> Run:
    """A run of an arm that is never written."""
    return Run(key, key, Job({"seed": 0}, Path("unused"), {}, (), "benchmark", "0" * 64, ""), arm)


def _adamw(parameters: Any, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, fused=True)


def _fitted(normalizer: Normalizer) -> Normalizer:
    return normalizer.fit(Moments(normalizer.dim).update(torch.randn(2 * normalizer.dim, normalizer.dim)))
