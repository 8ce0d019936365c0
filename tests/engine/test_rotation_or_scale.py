"""PHI-S is its scale in a rotated basis: SGD cannot tell them apart, an optimiser that works by coordinates can."""

import copy
from collections.abc import Callable

import pytest
import torch
from small_arms import make_arm
from torch.optim import SGD, AdamW, Optimizer

from phis_lab.engine import Arm, OptimizerRecipe, View
from phis_lab.features import Features
from phis_lab.linalg import Moments
from phis_lab.normalizers import CenterScale, PCAScale, PhiS, RandomRotationScale, TeacherSpace
from phis_lab.teachers import TeacherPool

STEPS = 20


@pytest.fixture
def batches(pool: TeacherPool) -> list[tuple[torch.Tensor, dict[str, Features]]]:
    images = torch.rand(STEPS, 16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return [
        (batch, {n: Features(f.summary, f.spatial[:, ::2, ::2]) for n, f in pool(batch).items()}) for batch in images
    ]


def rotated_twin(scale_only: Arm, normalizer: Callable[[int], torch.nn.Module]) -> Arm:
    """The same student for targets in another basis: the last layer of each head begins in that basis too."""
    twin = copy.deepcopy(scale_only)
    for name in scale_only.spaces:
        normal = scale_only.space(name).spatial
        rotated = normalizer(normal.dim).fit(twin.moments[name]).double()
        twin.spaces[name] = TeacherSpace(name, rotated)
        weight, plain = rotated.affine()[0], normal.affine()[0]
        rotation = weight @ torch.linalg.inv(plain)
        output = twin.student.spatial_heads[name].output
        output.weight.data, output.bias.data = rotation @ output.weight.data, rotation @ output.bias.data
    twin.optimizer = twin.recipe.build(twin.student)
    return twin


def trained(arm: Arm, batches: list[tuple[torch.Tensor, dict[str, Features]]]) -> tuple[list[float], torch.Tensor]:
    losses = []
    for step, (images, features) in enumerate(batches):
        losses.append(float(arm.step({"all": View(images.double(), features)}, step, STEPS).loss))
    return losses, torch.cat([p.detach().flatten() for p in arm.student.backbone.parameters()])


def scale_only(
    pool: TeacherPool, batches: list[tuple[torch.Tensor, dict[str, Features]]], recipe: OptimizerRecipe
) -> Arm:
    arm = make_arm(pool, CenterScale, drop_path=0.0).double()
    arm.recipe, arm.moments = recipe, {}
    for name in pool.teachers:
        arm.moments[name] = Moments(pool.teachers[name].spatial_dim)
        for _, features in batches:
            arm.moments[name].update(features[name].spatial)
        arm.space(name).fit(arm.moments[name])
    arm.optimizer = recipe.build(arm.student)
    return arm


def distances(
    pool: TeacherPool, batches: list[tuple[torch.Tensor, dict[str, Features]]], optimizer: Callable[..., Optimizer]
) -> dict[str, tuple[float, float]]:
    """Per rotation: how far losses and trained backbones are from those of the scale alone, relatively."""
    recipe = OptimizerRecipe(optimizer, lr=1e-2, weight_decay=0.02)
    alone = scale_only(pool, batches, recipe)
    twins = {make.__name__: rotated_twin(alone, make) for make in (PhiS, PCAScale, RandomRotationScale)}
    losses, weights = trained(alone, batches)
    found = {}
    for name, twin in twins.items():
        other_losses, other_weights = trained(twin, batches)
        apart = max(abs(a - b) / a for a, b in zip(losses, other_losses, strict=True))
        found[name] = apart, float((weights - other_weights).norm() / weights.norm())
    return found


def test_under_sgd_the_rotation_changes_the_student_by_rounding_only(pool, batches) -> None:
    for apart, moved in distances(pool, batches, lambda groups, lr: SGD(groups, lr=lr, momentum=0.9)).values():
        assert apart < 1e-6
        assert moved < 1e-6


def test_under_adamw_the_rotation_changes_the_student(pool, batches) -> None:
    for _, moved in distances(pool, batches, AdamW).values():
        assert moved > 1e-3
