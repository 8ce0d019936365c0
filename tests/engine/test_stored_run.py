"""A run off a feature store is the run without it, and does not depend on who filled the store."""

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from processes import free_port, run_ranks
from small_arms import compared, make_arm, make_group
from test_shared_arms import assert_same_run, weights

from phis_lab.engine import Arm, FeatureProvider, Group, train_group
from phis_lab.losses import AdaLoss
from phis_lab.normalizers import Identity, PhiS
from phis_lab.strategies import DataParallel
from phis_lab.teachers import TeacherPool
from phis_lab.teachers.store import FeatureStore, StoreDtype

ARMS = {"phis": make_arm, "identity": lambda pool: make_arm(pool, Identity, recipe={"lr": 3e-3, "clip": 1.0})}


def stored(group: Group, root: Path, dtype: StoreDtype = "float32") -> Group:
    """The group with its teacher features, of training and of evaluation, in a store."""
    partition, memory = group.stages[0].main, group.options.memory_gb
    pool, grids = partition.train.pool, partition.train.grids
    train = FeatureStore(root, dtype, pool, grids, group.data.fixed_train_views())
    test = FeatureStore(root, dtype, pool, grids, group.data.central_test_views(20))
    partition.train = FeatureProvider(pool, grids, 64, 2, memory, train)
    partition.test = FeatureProvider(pool, grids, 20, 1, memory, test)
    return group


def calls(group: Group) -> int:
    return sum(teacher.calls for teacher in group.stages[0].main.train.pool.teachers.values())


def test_float32_gives_bit_for_bit_the_run_without_a_store(tmp_path: Path) -> None:
    train_group(make_group(tmp_path / "memory", ARMS, views=2))
    train_group(stored(make_group(tmp_path / "stored", ARMS, views=2), tmp_path / "features"))
    for key in ARMS:
        assert_same_run(tmp_path / "memory" / key, tmp_path / "stored" / key)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_the_run_that_fills_the_store_equals_those_that_find_it_filled(tmp_path: Path, dtype: StoreDtype) -> None:
    filling, finding = (
        stored(make_group(tmp_path / name, ARMS, views=2), tmp_path / "features", dtype)
        for name in ("filling", "finding")
    )
    train_group(filling)
    train_group(finding)
    assert calls(finding) == 2 * 2  # a look at the shapes, for training and for evaluation
    assert calls(filling) > calls(finding)
    for key in ARMS:
        assert_same_run(tmp_path / "filling" / key, tmp_path / "finding" / key)


def test_students_of_several_grids_share_a_store_and_equal_their_solo_runs(tmp_path: Path) -> None:
    arms: dict[str, Callable[[TeacherPool], Arm]] = {"coarse": make_arm, "fine": partial(make_arm, patch_size=4)}
    train_group(stored(make_group(tmp_path / "both", arms, views=2), tmp_path / "features"))
    for key, make in arms.items():
        train_group(stored(make_group(tmp_path / "solo", {key: make}, views=2), tmp_path / "features"))
        assert_same_run(tmp_path / "both" / key, tmp_path / "solo" / key)


def test_only_the_views_that_the_run_visits_are_filled(tmp_path: Path) -> None:
    group = stored(make_group(tmp_path / "run", {"phis": make_arm}, views=100), tmp_path / "features")
    group.stages[0].main.train.prepare(torch.device("cpu"))
    shards = {path.name for path in tmp_path.glob("features/*-train-*/*.safetensors")}
    assert shards == {f"view{view:04}-0000000000.safetensors" for view in range(3)}  # 12 steps of 16 of 64 images


def test_runs_of_other_seeds_find_the_same_views(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for seed in (0, 1):
        group = make_group(tmp_path / str(seed), {"phis": make_arm}, views=2)
        object.__setattr__(group.data.source, "seed", seed)
        with caplog.at_level(logging.INFO):
            caplog.clear()
            stored(group, tmp_path / "features").stages[0].main.train.prepare(torch.device("cpu"))
        assert ("To be written" in caplog.text) == (seed == 0)


def ddp_arms() -> dict[str, Callable[[TeacherPool], Arm]]:
    return {"phis": lambda pool: make_arm(pool, PhiS, drop_path=0.0, balancer=AdaLoss())}


def train_as(rank: int, world: int, port: int, folder: Path) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
    torch.set_num_threads(1)
    group = make_group(folder, ddp_arms(), views=2)
    group.strategy = DataParallel(devices=world, backend="gloo", timeout_s=120)
    train_group(stored(group, folder / "features"))


@pytest.mark.ddp
def test_two_processes_fill_and_read_one_store(tmp_path: Path) -> None:
    run_ranks(train_as, 2, free_port(), tmp_path / "two")
    train_group(stored(make_group(tmp_path / "one", ddp_arms(), views=2), tmp_path / "two" / "features"))
    two, one = weights(tmp_path / "two" / "phis"), weights(tmp_path / "one" / "phis")
    for name, tensor in one.items():
        torch.testing.assert_close(compared(name, two[name]), compared(name, tensor), rtol=2e-3, atol=2e-4, msg=name)
