"""Arms whose maps are equal take their targets from one product, and nobody else's."""

from unittest import mock

import pytest
import torch
from small_arms import make_arm, patch_pool

from phis_lab.engine import Arm
from phis_lab.engine.shared_targets import SharedTargets
from phis_lab.features import Features
from phis_lab.linalg import Moments
from phis_lab.losses import Cosine
from phis_lab.normalizers import PCAWhiten, PhiS, Standardize
from phis_lab.normalizers.matrix import MatrixNormalizer


@pytest.fixture
def features() -> dict[str, Features]:
    images = torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return {name: Features(f.summary, f.spatial[:, ::2, ::2]) for name, f in patch_pool()(images).items()}


def fitted(arm: Arm, features: dict[str, Features]) -> Arm:
    for name, feature in features.items():
        arm.space(name).fit(Moments(feature.spatial.shape[-1]).update(feature.spatial))
    return arm


class OwnPhiS(PhiS):
    """Computes in a way of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


def test_equal_maps_are_applied_once_and_give_what_each_would(features: dict[str, Features]) -> None:
    pool = patch_pool()
    arms = [
        fitted(arm, features)
        for arm in (make_arm(pool), make_arm(pool, seed=4), make_arm(pool, loss=Cosine()), make_arm(pool, PCAWhiten))
    ]
    shared = SharedTargets(arms)
    with mock.patch.object(MatrixNormalizer, "forward", autospec=True, side_effect=MatrixNormalizer.forward) as call:
        given = [{name: shared.of(arm.space(name), features[name]) for name in features} for arm in arms]
    assert call.call_count == 2 * len(features)  # PHI-S of three arms, and whitening
    for arm, targets in zip(arms, given, strict=True):
        for name, target in targets.items():
            assert torch.equal(target.spatial, arm.space(name).targets(features[name]).spatial)


def test_a_target_is_let_go_when_the_last_of_its_arms_has_it(features: dict[str, Features]) -> None:
    arms = [fitted(make_arm(patch_pool(), seed=seed), features) for seed in (0, 1, 2)]
    shared = SharedTargets(arms)
    first, second, third = (shared.of(arm.space("loud"), features["loud"]).spatial for arm in arms)
    assert first is second is third
    assert not shared._kept


def test_other_features_get_other_targets(features: dict[str, Features]) -> None:
    arms = [fitted(make_arm(patch_pool(), seed=seed), features) for seed in (0, 1)]
    shared = SharedTargets(arms)
    coarse = features["loud"]._replace(spatial=features["loud"].spatial[:, ::2])
    whole = shared.of(arms[0].space("loud"), features["loud"])
    part = shared.of(arms[1].space("loud"), coarse)
    assert torch.equal(part.spatial, arms[1].space("loud").targets(coarse).spatial)
    assert whole.spatial.shape != part.spatial.shape


@pytest.mark.parametrize("method", [Standardize, OwnPhiS])
def test_what_is_cheap_or_not_known_is_not_shared(method: type, features: dict[str, Features]) -> None:
    arms = [fitted(make_arm(patch_pool(), method, seed=seed), features) for seed in (0, 1)]
    shared = SharedTargets(arms)
    first, second = (shared.of(arm.space("loud"), features["loud"]).spatial for arm in arms)
    assert first is not second
    assert torch.equal(first, second)


def test_a_map_tells_another_content_once_it_is_fitted_anew_or_in_other_precision() -> None:
    rows = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    phis, same, other = (PhiS(8).fit(Moments(8).update(x)) for x in (rows, rows, rows * 2))
    assert phis.content() == same.content() != other.content()
    assert same.fit(Moments(8).update(rows * 2)).content() == other.content()
    assert phis.double().content() != PhiS(8).fit(Moments(8).update(rows)).content()
    assert PhiS(8).content() is None
