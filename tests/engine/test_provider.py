"""The provider gives the same features whether it remembers them or not."""

from pathlib import Path

import pytest
import torch
from drawn_images import DrawnImages
from small_arms import patch_pool

from phis_lab.engine import FeatureProvider
from phis_lab.teachers.store import FeatureStore

GRID = (2, 3)


def batch(first: int, views: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(first))
    keys = torch.stack([torch.arange(first, first + 4), torch.full((4,), views - 1)], dim=1)
    return images, keys


def calls(provider: FeatureProvider) -> int:
    return sum(teacher.calls for teacher in provider.pool.teachers.values())


def test_fixed_views_cost_one_teacher_pass() -> None:
    provider = FeatureProvider(patch_pool(), {GRID}, images=12, views=2, memory_gb=1.0)
    first = provider(*batch(4, views=2))
    once = calls(provider)
    again = provider(*batch(4, views=2))
    assert calls(provider) == once
    for name, features in first[GRID].items():
        assert torch.equal(features.spatial, again[GRID][name].spatial)
        assert torch.equal(features.summary, again[GRID][name].summary)


def test_another_view_is_another_row() -> None:
    provider = FeatureProvider(patch_pool(), {GRID}, images=12, views=2, memory_gb=1.0)
    provider(*batch(4, views=2))
    once = calls(provider)
    provider(*batch(4, views=1))
    assert calls(provider) > once


@pytest.mark.parametrize(("views", "memory_gb"), [(None, 1.0), (2, 0.0), (2, 1e-6)])
def test_nothing_is_remembered_without_fixed_views_or_room(views: int | None, memory_gb: float) -> None:
    provider = FeatureProvider(patch_pool(), {GRID}, images=12, views=views, memory_gb=memory_gb)
    first = provider(*batch(0, views=1))
    once = calls(provider)
    second = provider(*batch(0, views=1))
    assert calls(provider) == 2 * once
    assert torch.equal(first[GRID]["loud"].spatial, second[GRID]["loud"].spatial)


def test_each_grid_gets_its_own_resize() -> None:
    features = FeatureProvider(patch_pool(), {(2, 2), (4, 4)}, images=4, views=None, memory_gb=0.0)(*batch(0, views=1))
    assert features[2, 2]["quiet"].spatial.shape == (4, 2, 2, 12)
    assert features[4, 4]["quiet"].spatial.shape == (4, 4, 4, 12)
    assert torch.equal(features[2, 2]["quiet"].summary, features[4, 4]["quiet"].summary)


def test_the_first_batch_fills_the_store_and_every_batch_is_read_from_it(tmp_path: Path) -> None:
    pool, images = patch_pool(), DrawnImages()
    store = FeatureStore(tmp_path, "bfloat16", pool, {GRID}, images)
    provider = FeatureProvider(pool, {GRID}, images.count, images.views, memory_gb=1.0, store=store)
    keys = images.all_keys()[:8]
    given = provider(images.batch(keys), keys)
    once = calls(provider)
    again = provider(torch.zeros(8, 3, 16, 16), keys)
    assert calls(provider) == once
    fresh = provider(images.batch(keys))
    for name, features in given[GRID].items():
        assert torch.equal(features.spatial, again[GRID][name].spatial)
        assert torch.equal(features.spatial, fresh[GRID][name].spatial.bfloat16().float())
