"""Options that a step's memory depends on, and its precision, leave what is computed as it is."""

from collections.abc import Callable

import pytest
import torch
from small_arms import make_arm, patch_pool

from phis_lab.engine import Arm, ArmFailedError, View, arm_step
from phis_lab.engine.arm_step import SMALLEST_SCALE
from phis_lab.features import Features
from phis_lab.linalg import Moments
from phis_lab.losses import AdaLoss, HybridSmoothL1
from phis_lab.normalizers import BatchStandardize

IMAGES = torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def features() -> dict[str, Features]:
    return {name: Features(f.summary, f.spatial[:, ::2, ::2]) for name, f in patch_pool()(IMAGES).items()}


def fitted(features: dict[str, Features], **options: object) -> Arm:
    arm = make_arm(patch_pool(), **options)
    for name, feature in features.items():
        arm.space(name).fit(Moments(feature.spatial.shape[-1]).update(feature.spatial))
    return arm


def losses(arm: Arm, features: dict[str, Features], steps: int = 4) -> list[float]:
    return [float(arm.step({"all": View(IMAGES, features)}, step, steps).loss) for step in range(steps)]


@pytest.mark.parametrize(
    "parts",
    [{}, {"loss": HybridSmoothL1(), "balancer": AdaLoss()}, {"normalizer": BatchStandardize}],
    ids=["mse", "adaloss", "batch statistics"],
)
@pytest.mark.parametrize("microbatch", [1, 12])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(
    microbatch: int, parts: dict[str, object], features: dict[str, Features]
) -> None:
    build: Callable[..., Arm] = lambda **more: make_arm(patch_pool(), drop_path=0.0, **(parts | more))  # noqa: E731
    arms = [build(), build(microbatch=microbatch)]
    for arm in arms:
        for name, feature in features.items():
            if not isinstance(arm.space(name).spatial, BatchStandardize):
                arm.space(name).fit(Moments(feature.spatial.shape[-1]).update(feature.spatial))
    whole, in_parts = (losses(arm, features) for arm in arms)
    assert in_parts == pytest.approx(whole, rel=2e-5)


def test_a_batch_of_a_part_or_less_is_computed_as_ever(features: dict[str, Features]) -> None:
    whole, one_part = (losses(fitted(features, **more), features) for more in ({}, {"microbatch": len(IMAGES)}))
    assert one_part == whole


def test_a_part_is_computed_again_with_the_random_numbers_of_the_first_time(
    features: dict[str, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    again = losses(fitted(features, microbatch=8, drop_path=0.5), features)
    monkeypatch.setattr(arm_step, "checkpoint", lambda function, part, use_reentrant: function(part))
    once = losses(fitted(features, microbatch=8, drop_path=0.5), features)
    assert again == once


def test_spectral_students_are_refused_for_parts_would_move_them_on() -> None:
    with pytest.raises(ValueError, match=r"trainer.microbatch=4 .* student.spectral=true"):
        make_arm(patch_pool(), microbatch=4, spectral=True)


def test_float16_steps_as_float32_does_to_its_rounding(features: dict[str, Features]) -> None:
    exact, half = fitted(features, drop_path=0.0), fitted(features, drop_path=0.0, low_precision=torch.float16)
    half.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)  # no step is lost while it is found
    assert losses(half, features) == pytest.approx(losses(exact, features), rel=0.02)
    assert half.scaler.get_scale() == 2.0**8


def test_a_step_whose_gradients_overflow_leaves_the_student_and_halves_the_scale(features: dict[str, Features]) -> None:
    arm = fitted(features, low_precision=torch.float16)
    before = {name: tensor.clone() for name, tensor in arm.student.state_dict().items()}
    arm.student.backbone.vit.norm.weight.register_hook(lambda gradient: gradient * float("inf"))
    losses(arm, features, steps=1)
    assert all(torch.equal(before[name], tensor) for name, tensor in arm.student.state_dict().items())
    assert arm.scaler.get_scale() == 2.0**15


def test_an_arm_whose_gradients_overflow_at_any_scale_is_stopped(features: dict[str, Features]) -> None:
    arm = fitted(features, low_precision=torch.float16)
    arm.student.backbone.vit.norm.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(ArmFailedError, match="overflow in float16"):
        losses(arm, features, steps=40)
    assert arm.scaler.get_scale() < SMALLEST_SCALE


def test_a_resumed_float16_arm_goes_on_with_its_scale(features: dict[str, Features]) -> None:
    arm = fitted(features, low_precision=torch.float16)
    arm.student.backbone.vit.norm.weight.register_hook(lambda gradient: gradient * float("inf"))
    losses(arm, features, steps=3)
    resumed = fitted(features, low_precision=torch.float16)
    resumed.load_training_state(arm.training_state())
    assert resumed.scaler.get_scale() == arm.scaler.get_scale() == 2.0**13
