"""What one arm does in a step."""

import pytest
import torch
from small_arms import PatchTeacher, make_arm

from phis_lab.engine import Arm, View
from phis_lab.features import Features
from phis_lab.linalg import Moments
from phis_lab.normalizers import PCAWhiten
from phis_lab.teachers import TeacherPool


def fitted(arm: Arm, features: dict[str, Features]) -> Arm:
    for name, feature in features.items():
        arm.space(name).fit(Moments(feature.spatial.shape[-1]).update(feature.spatial))
    return arm


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def features(pool: TeacherPool, images: torch.Tensor) -> dict[str, Features]:
    return {name: Features(f.summary, f.spatial[:, ::2, ::2]) for name, f in pool(images).items()}


def test_steps_on_one_batch_bring_the_loss_down(
    pool: TeacherPool, images: torch.Tensor, features: dict[str, Features]
) -> None:
    arm = fitted(make_arm(pool), features)
    losses = [float(arm.step({"all": View(images, features)}, step, 60).loss) for step in range(60)]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_a_step_names_a_row_for_every_teacher_and_kind(
    pool: TeacherPool, images: torch.Tensor, features: dict[str, Features]
) -> None:
    result = fitted(make_arm(pool), features).step({"all": View(images, features)}, 0, 10)
    assert set(result.rows) == {"quiet/spatial", "quiet/summary", "loud/spatial", "loud/summary"}
    assert float(result.loss) == pytest.approx(float(sum(result.rows.values())), rel=1e-5)


def test_teacher_space_undoes_the_normaliser(pool: TeacherPool, features: dict[str, Features]) -> None:
    arm = fitted(make_arm(pool, PCAWhiten), features)
    spatial = features["loud"].spatial
    answer = arm.space("loud").restored(arm.space("loud").targets(Features(None, spatial)))
    torch.testing.assert_close(answer.spatial, spatial, rtol=1e-3, atol=1e-3)


def test_a_loss_that_is_not_finite_is_told_with_its_row(
    pool: TeacherPool, images: torch.Tensor, features: dict[str, Features]
) -> None:
    arm = fitted(make_arm(pool), features)
    spoiled = dict(features) | {"loud": Features(features["loud"].summary, features["loud"].spatial * float("inf"))}
    result = arm.step({"all": View(images, spoiled)}, 3, 10)
    assert not result.loss.isfinite()
    assert [name for name, row in result.rows.items() if not row.isfinite()] == ["loud/spatial"]


def test_clipping_bounds_the_gradient(pool: TeacherPool, images: torch.Tensor, features: dict[str, Features]) -> None:
    arm = fitted(make_arm(pool, recipe={"clip": 1e-3}), features)
    norms: list[torch.Tensor] = []
    parameters = list(arm.student.parameters())
    arm.optimizer.register_step_pre_hook(lambda *_: norms.extend(p.grad.norm() for p in parameters))
    arm.step({"all": View(images, features)}, 0, 10)
    assert torch.stack(norms).norm() <= 1e-3 * (1 + 1e-4)


def test_no_gradient_outlives_its_step(pool: TeacherPool, images: torch.Tensor, features: dict[str, Features]) -> None:
    arm = fitted(make_arm(pool), features)
    arm.step({"all": View(images, features)}, 0, 10)
    assert all(p.grad is None for p in arm.student.parameters())


def test_a_frozen_body_waits_while_the_heads_learn(
    pool: TeacherPool, images: torch.Tensor, features: dict[str, Features]
) -> None:
    arm = fitted(make_arm(pool, recipe={"frozen_body_steps": 2, "weight_decay": 0.5}), features)
    body, head = arm.student.backbone.state_dict(), arm.student.spatial_heads["loud"].output.weight
    start, moved = {name: tensor.clone() for name, tensor in body.items()}, head.detach().clone()
    for step in range(2):
        arm.step({"all": View(images, features)}, step, 10)
        assert all(torch.equal(start[name], tensor) for name, tensor in body.items())
        assert not torch.equal(moved, head)
    arm.step({"all": View(images, features)}, 2, 10)
    assert not all(torch.equal(start[name], tensor) for name, tensor in body.items())


def test_teachers_are_in_no_checkpoint_and_no_optimiser(pool: TeacherPool) -> None:
    arm = make_arm(pool)
    trained = {id(p) for group in arm.optimizer.param_groups for p in group["params"]}
    teacher = pool.teachers["loud"]
    assert isinstance(teacher, PatchTeacher)
    assert not trained & {id(p) for p in teacher.parameters()}
    assert not any("network" in name for name in arm.state_dict())
