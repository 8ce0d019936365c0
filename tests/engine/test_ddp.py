"""Two processes with half a batch each compute what one computes with the whole batch."""

import json
import os
from collections import Counter
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from processes import free_port, run_ranks
from small_arms import compared, make_arm, make_group
from test_shared_arms import ARMS, assert_same_run, fail_at_call

from phis_lab.engine import Group, train_group
from phis_lab.engine.callbacks.keeper import crew_of
from phis_lab.losses import AdaLoss
from phis_lab.normalizers import Identity, PhiS
from phis_lab.runs import read_record
from phis_lab.strategies import DataParallel

TWO = "2 processes on cpu, 1 thread each"


def arms() -> dict[str, object]:
    """Without drop path, whose draws depend on how a batch is split."""
    return {
        "phis": lambda pool: make_arm(pool, PhiS, drop_path=0.0, balancer=AdaLoss()),
        "identity": lambda pool: make_arm(pool, Identity, drop_path=0.0, recipe={"lr": 1e-3, "clip": 1.0}),
    }


def joined(rank: int, world: int, port: int) -> DataParallel:
    """This process as one of `world`."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
    torch.set_num_threads(1)
    return DataParallel(devices=world, backend="gloo", timeout_s=120)


def train_as(rank: int, world: int, port: int, folder: Path) -> None:
    group = make_group(folder, arms())
    group.strategy = joined(rank, world, port)
    group.estimation.save = str(folder / "moments")
    train_group(group)


def sweep() -> dict[str, object]:
    """Arms with drop path, one of which diverges."""
    return {key: ARMS[key] for key in ("phis", "whiten")} | {
        "wild": lambda pool: make_arm(pool, Identity, recipe={"lr": 1e30})
    }


def train_together_and_alone_as(rank: int, world: int, ports: list[int], folder: Path) -> None:
    """All arms in one group, then each in one of its own; notes gradient all-reduces and teacher passes."""
    pairs = [("together", sweep()), *(("alone", {key: sweep()[key]}) for key in ("phis", "whiten"))]
    for port, (where, chosen) in zip(ports, pairs, strict=True):
        group = make_group(folder / where, chosen)
        group.strategy = joined(rank, world, port)
        with mock.patch.object(dist, "all_reduce", wraps=dist.all_reduce) as reduce:
            train_group(group)
        sizes = Counter(call.args[0].numel() for call in reduce.call_args_list)
        weights = {run.key: sum(p.numel() + 1 for p in run.arm.student.parameters()) for run in group.runs}
        passes = group.stages[0].main.train.pool.teachers["loud"].calls
        facts = {"reduced": {key: sizes[size] for key, size in weights.items()}, "passes": passes}
        (folder / f"{'-'.join([where, *chosen])}-{rank}.json").write_text(json.dumps(facts))


@pytest.mark.ddp
def test_every_arm_equals_its_solo_run_in_two_processes(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    run_ranks(train_together_and_alone_as, 2, ports, tmp_path)
    for key in ("phis", "whiten"):
        assert_same_run(tmp_path / "together" / key, tmp_path / "alone" / key)
    record = read_record(tmp_path / "together" / "wild" / "result.json")
    assert (record.status, record.steps) == ("failed", 3)
    for rank in range(2):
        together, alone = (
            json.loads((tmp_path / f"{name}-{rank}.json").read_text())
            for name in ("together-phis-whiten-wild", "alone-phis")
        )
        assert together["passes"] == alone["passes"]
        assert alone["reduced"]["phis"] == 10  # one a step; the first two steps only gather
        assert together["reduced"]["phis"] == 10 + 10 + 2  # of three students of one size, of which one failed


@pytest.mark.ddp
def test_two_processes_equal_one(tmp_path: Path) -> None:
    alone = make_group(tmp_path / "one", arms())
    alone.estimation.save = str(tmp_path / "one" / "moments")
    train_group(alone)
    run_ranks(train_as, 2, free_port(), tmp_path / "two")
    assert_same_moments(tmp_path)
    for key in arms():
        ours, theirs = (torch.load(tmp_path / n / key / "checkpoint.pt", weights_only=True) for n in ("two", "one"))
        for name, tensor in theirs["arm"]["modules"].items():
            torch.testing.assert_close(
                compared(name, ours["arm"]["modules"][name]), compared(name, tensor), rtol=2e-3, atol=2e-4, msg=name
            )
        two, one = (read_record(tmp_path / n / key / "result.json") for n in ("two", "one"))
        for teacher, kinds in one.teacher_metrics.items():
            assert two.teacher_metrics[teacher]["spatial"]["mse"] == pytest.approx(kinds["spatial"]["mse"], rel=1e-3)
        assert two.images == one.images


def train_until_it_breaks_as(rank: int, world: int, port: int, folder: Path) -> None:
    """Two processes that go on, and lose their power after their first checkpoint."""
    group = make_group(folder, {"phis": arms()["phis"]}, checkpoint_every=3)
    group.strategy = joined(rank, world, port)
    train_until_call(group, 8)


def train_until_call(group: Group, call: int) -> None:
    """Train until the teachers are called for the `call`-th time."""
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, call)
        with pytest.raises(OSError, match="power"):
            train_group(group)


@pytest.mark.ddp
def test_a_run_goes_on_with_other_numbers_of_processes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train_group(make_group(tmp_path / "whole", {"phis": arms()["phis"]}))
    train_until_call(make_group(tmp_path / "parts", {"phis": arms()["phis"]}, checkpoint_every=3), 5)
    run_ranks(train_until_it_breaks_as, 2, free_port(), tmp_path / "parts")
    train_group(make_group(tmp_path / "parts", {"phis": arms()["phis"]}))
    assert f"Going on with {crew_of('cpu')} where {TWO} trained before" in caplog.text
    parts, whole = (torch.load(tmp_path / n / "phis" / "checkpoint.pt", weights_only=True) for n in ("parts", "whole"))
    for name, tensor in whole["arm"]["modules"].items():
        torch.testing.assert_close(
            compared(name, parts["arm"]["modules"][name]), compared(name, tensor), rtol=2e-3, atol=2e-4, msg=name
        )
    record = read_record(tmp_path / "parts" / "phis" / "result.json")
    assert record.trained_on == {crew_of("cpu"): 9, TWO: 3}
    assert parts["run"]["images_seen"] == whole["run"]["images_seen"] == record.images == 12 * 16


def assert_same_moments(folder: Path) -> None:
    from phis_lab.linalg import Moments

    for teacher in ("quiet", "loud"):
        two, one = (Moments.load(folder / n / "moments" / f"{teacher}-32px-2x2.safetensors") for n in ("two", "one"))
        assert two.count == one.count
        scale = one.covariance.abs().max()
        torch.testing.assert_close(two.mean, one.mean, rtol=1e-12, atol=1e-12)
        assert ((two.covariance - one.covariance).abs().max() / scale) < 1e-12
