"""Students divided among two processes learn what whole ones do, and go on under another strategy."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processes import free_port, run_ranks
from small_arms import compared, make_arm, make_group
from test_ddp import joined, train_until_call
from timm.optim import Lamb
from torch.distributed.tensor import DTensor

from phis_lab.engine import Group, train_group
from phis_lab.losses import AdaLoss
from phis_lab.normalizers import Identity, PhiS
from phis_lab.runs import read_record
from phis_lab.strategies import FullyShardedData


def arms() -> dict[str, Callable[..., object]]:
    """Without drop path, whose draws depend on how a batch is split; clipped, frozen at first, spectral."""
    clipped = {"lr": 1e-3, "clip": 0.5, "frozen_body_steps": 3}
    return {
        "phis": lambda pool: make_arm(pool, PhiS, drop_path=0.0, balancer=AdaLoss()),
        "identity": lambda pool: make_arm(pool, Identity, drop_path=0.0, recipe=clipped),
        "spectral": lambda pool: make_arm(pool, PhiS, drop_path=0.0, spectral=True, recipe={"lr": 1e-2}),
    }


def group_as(rank: int, world: int, port: int, folder: Path, **options: object) -> Group:
    group = make_group(folder, arms(), **options)
    of_ranks = joined(rank, world, port)
    group.strategy = FullyShardedData(of_ranks.devices, backend="gloo", timeout_s=120)
    return group


def train_as(rank: int, world: int, port: int, folder: Path) -> None:
    group = group_as(rank, world, port, folder)
    train_group(group)
    for run in group.runs:
        parameters = list(run.arm.student.parameters())
        assert all(isinstance(parameter, DTensor) for parameter in parameters)
        held = sum(parameter.to_local().numel() for parameter in parameters)
        assert held < 0.7 * sum(parameter.numel() for parameter in parameters)


def stop_at_power_cut_as(rank: int, world: int, port: int, folder: Path) -> None:
    train_until_call(group_as(rank, world, port, folder, checkpoint_every=3), 8)


def assert_equal_runs(ours: Path, theirs: Path) -> None:
    for key in arms():
        first, second = (torch.load(n / key / "checkpoint.pt", weights_only=True)["arm"] for n in (ours, theirs))
        assert first["modules"].keys() == second["modules"].keys()
        for name, tensor in second["modules"].items():
            torch.testing.assert_close(
                compared(name, first["modules"][name]), compared(name, tensor), rtol=2e-3, atol=2e-4, msg=name
            )
        two, one = (read_record(n / key / "result.json") for n in (ours, theirs))
        for teacher, kinds in one.teacher_metrics.items():
            assert two.teacher_metrics[teacher]["spatial"]["mse"] == pytest.approx(kinds["spatial"]["mse"], rel=1e-3)
        for name in ("knn/accuracy", "linear_probe/accuracy"):
            assert two.metrics[name].value == pytest.approx(one.metrics[name].value, abs=11)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    train_group(make_group(folder, arms()))
    return folder


@pytest.mark.ddp
def test_two_processes_with_a_share_each_equal_one(whole: Path, tmp_path: Path) -> None:
    run_ranks(train_as, 2, free_port(), tmp_path)
    assert_equal_runs(tmp_path, whole)


@pytest.mark.ddp
def test_a_run_goes_on_whole_and_divided_again(whole: Path, tmp_path: Path) -> None:
    run_ranks(stop_at_power_cut_as, 2, free_port(), tmp_path)
    assert torch.load(tmp_path / "phis" / "checkpoint.pt", weights_only=True)["step"] == 6
    train_until_call(make_group(tmp_path, arms(), checkpoint_every=1), 4)
    assert 6 < torch.load(tmp_path / "phis" / "checkpoint.pt", weights_only=True)["step"] < 12
    run_ranks(train_as, 2, free_port(), tmp_path)
    assert_equal_runs(tmp_path, whole)


def lamb_and_float16_as(rank: int, world: int, port: int, folder: Path) -> None:
    made = {
        "lamb": lambda pool: make_arm(pool, PhiS, drop_path=0.0, recipe={"optimizer": Lamb}),
        "float16": lambda pool: make_arm(pool, PhiS, drop_path=0.0, low_precision=torch.float16),
    }
    group = make_group(folder, made)
    group.strategy = FullyShardedData(joined(rank, world, port).devices, backend="gloo", timeout_s=120)
    train_group(group)


@pytest.mark.ddp
def test_an_optimiser_of_timm_and_float16_step_over_shares(tmp_path: Path) -> None:
    run_ranks(lamb_and_float16_as, 2, free_port(), tmp_path)
    for key in ("lamb", "float16"):
        assert read_record(tmp_path / key / "result.json").status == "complete"
