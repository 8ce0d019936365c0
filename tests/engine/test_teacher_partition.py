"""Processes that each work on one partition compute what one process computes that works on all of them."""

import itertools
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from processes import free_port, run_ranks
from small_arms import compared, make_arm, make_group
from test_ddp import joined
from test_shared_arms import assert_same_run, fail_at_call, weights

from phis_lab.data import PartitionPlan, StagePlan
from phis_lab.engine import Arm, Group, OptimizerRecipe, train_group
from phis_lab.engine.costs import PASSES
from phis_lab.engine.division import divide, refuse_shared_statistics
from phis_lab.features import Features
from phis_lab.losses import UNIC, AdaLoss, Uniform
from phis_lab.normalizers import EMAStandardize, PCAWhiten, PhiS, TeacherSpace
from phis_lab.runs import read_record
from phis_lab.strategies import TeacherPartition
from phis_lab.teachers import TeacherPool

STAGES = {
    "first": StagePlan(partitions={"all": PartitionPlan(batch=0.75)}),
    "second": StagePlan(
        partitions={
            "own": PartitionPlan(batch=0.5, teachers={"quiet": 1.0}),
            "other": PartitionPlan(scale=1.5, batch=0.25, teachers={"loud": 1.0}),
        }
    ),
    "third": StagePlan(
        partitions={
            "both": PartitionPlan(batch=0.5),
            "large": PartitionPlan(scale=2.0, batch=0.25, teachers={"loud": 1.0}),
        }
    ),
}


def steady(arm: Arm) -> Arm:
    """With an optimiser that does not blow up rounding, as those do that divide a gradient by its size."""
    arm.recipe = OptimizerRecipe(partial(torch.optim.SGD, momentum=0.9), lr=0.05, clip=1.0)
    return arm


def running(pool: TeacherPool) -> Arm:
    """Running statistics of summaries and patches, whose teacher is seen by one partition alone."""
    arm = make_arm(pool, EMAStandardize, drop_path=0.0)
    dims = {name: (teacher.spatial_dim, teacher.summary_dim) for name, teacher in pool.teachers.items()}
    spaces = {name: TeacherSpace(name, *map(EMAStandardize, of_kinds)) for name, of_kinds in dims.items()}
    return steady(Arm(arm.student, spaces, UNIC(), Uniform(), arm.recipe, arm.stream))


ARMS: Mapping[str, Callable[[TeacherPool], Arm]] = {
    "phis": lambda pool: steady(make_arm(pool, PhiS, drop_path=0.0, balancer=AdaLoss())),
    "whiten": lambda pool: steady(make_arm(pool, PCAWhiten, drop_path=0.0)),
}


def staged(folder: Path, stages: Mapping[str, StagePlan] = STAGES, **options: object) -> Group:
    arms = dict(ARMS) if len(stages) > 1 else {"running": running}
    return make_group(folder, arms, stages=stages, **{"max_steps": 24} | options)


def images(stages: Mapping[str, StagePlan]) -> dict[str, dict[str, int]]:
    return {name: plan.batch_sizes(16) for name, plan in stages.items()}


def divided(rank: int, world: int, port: int, group: Group, ranks: object = None) -> Group:
    joined(rank, world, port)
    group.strategy = TeacherPartition(devices=world, ranks=ranks, backend="gloo", timeout_s=120)
    return group


def train_as(
    rank: int, world: int, port: int, folder: Path, stages: Mapping[str, StagePlan], ranks: object = None
) -> None:
    group = divided(rank, world, port, staged(folder, stages), ranks)
    train_group(group)
    held = {
        name: {parameter.device.type for parameter in teacher.parameters()} or {"cpu"}
        for stage in group.stages
        for partition in stage.own().values()
        for name, teacher in partition.train.pool.teachers.items()
    }
    assert all(devices == {"cpu"} for devices in held.values())


def assert_equal(one: Path, several: Path) -> None:
    ours, theirs = weights(one), weights(several)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(
                compared(name, theirs[name]), compared(name, tensor), rtol=1e-4, atol=1e-5, msg=lambda m, n=name: n + m
            )
    first, second = (read_record(folder / "result.json") for folder in (one, several))
    assert first.images == second.images
    assert first.teachers == second.teachers
    assert {t: set(kinds) for t, kinds in first.teacher_metrics.items()} == {
        t: set(kinds) for t, kinds in second.teacher_metrics.items()
    }
    for teacher, kinds in first.teacher_metrics.items():
        for kind, values in kinds.items():
            assert second.teacher_metrics[teacher][kind] == pytest.approx(values, rel=2e-2, abs=1e-3), (teacher, kind)
    assert second.metrics.keys() == first.metrics.keys()


@pytest.mark.ddp
@pytest.mark.parametrize("world", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_divided_processes_equal_one_through_stages(world: int, tmp_path: Path) -> None:
    train_group(staged(tmp_path / "one"))
    run_ranks(train_as, world, free_port(), tmp_path / "several", STAGES, world=world)
    for key in ARMS:
        assert_equal(tmp_path / "one" / key, tmp_path / "several" / key)


APART = {"all": STAGES["second"]}


@pytest.mark.ddp
def test_running_statistics_are_those_of_the_partition_and_come_into_the_checkpoint(tmp_path: Path) -> None:
    train_group(staged(tmp_path / "one", APART))
    run_ranks(train_as, 3, free_port(), tmp_path / "several", APART, world=3)
    assert_equal(tmp_path / "one" / "running", tmp_path / "several" / "running")


def train_until_it_breaks_as(rank: int, world: int, port: int, folder: Path) -> None:
    group = divided(rank, world, port, staged(folder, checkpoint_every=5))
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, 15)
        with pytest.raises(OSError, match="power"):
            train_group(group)


@pytest.mark.ddp
def test_one_process_goes_on_from_what_divided_ones_have_kept(tmp_path: Path) -> None:
    train_group(staged(tmp_path / "one"))
    run_ranks(train_until_it_breaks_as, 2, free_port(), tmp_path / "several", world=2)
    assert torch.load(tmp_path / "several" / "phis" / "checkpoint.pt", weights_only=True)["step"] == 10
    train_group(staged(tmp_path / "several"))
    for key in ARMS:
        assert_equal(tmp_path / "one" / key, tmp_path / "several" / key)


UNEVEN = {name: STAGES[name] for name in ("first", "second")}
CHOSEN = {"second": {"own": 1, "other": 2}}


def slow_while_measured(group: Group) -> Group:
    """Makes the teacher of one partition slow, as often as it is measured."""
    teacher = group.stages[1].partitions["other"].train.pool.teachers["loud"]
    features, calls = teacher.features, itertools.count()

    def delayed(x: torch.Tensor) -> Features:
        if next(calls) < 1 + PASSES:
            time.sleep(0.2)
        return features(x)

    teacher.features = delayed
    return group


def train_unevenly_as(rank: int, world: int, port: int, folder: Path, ranks: object) -> None:
    group = slow_while_measured(divided(rank, world, port, staged(folder, UNEVEN, max_steps=16), ranks))
    train_group(group)
    assert {name: len(of) for name, of in group.data.ranks["second"].items()} == CHOSEN["second"]
    assert group.data.ranks["first"] == {"all": range(3)}


@pytest.mark.ddp
def test_the_slow_partition_is_measured_and_gets_two_of_three_processes(tmp_path: Path) -> None:
    train_group(staged(tmp_path / "one", UNEVEN, max_steps=16))
    for name, ranks in {"chosen": CHOSEN, "measured": "measured"}.items():
        run_ranks(train_unevenly_as, 3, free_port(), tmp_path / name, ranks, world=3)
    for key in ARMS:
        assert_equal(tmp_path / "one" / key, tmp_path / "chosen" / key)
        assert_same_run(tmp_path / "chosen" / key, tmp_path / "measured" / key)


def break_unevenly_as(rank: int, world: int, port: int, folder: Path, ranks: object) -> None:
    group = divided(rank, world, port, staged(folder, UNEVEN, max_steps=16, checkpoint_every=5), ranks)
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, 14)
        with pytest.raises(OSError, match="power"):
            train_group(group)
    assert group.data.ranks["second"]["own"] == range(2)


@pytest.mark.ddp
@pytest.mark.slow
def test_a_run_goes_on_where_other_ranks_are_measured(tmp_path: Path) -> None:
    train_group(staged(tmp_path / "one", UNEVEN, max_steps=16))
    run_ranks(break_unevenly_as, 3, free_port(), tmp_path / "several", {"second": {"own": 2, "other": 1}}, world=3)
    assert torch.load(tmp_path / "several" / "phis" / "checkpoint.pt", weights_only=True)["step"] == 10
    run_ranks(train_unevenly_as, 3, free_port(), tmp_path / "several", "measured", world=3)
    for key in ARMS:
        assert_equal(tmp_path / "one" / key, tmp_path / "several" / key)


@pytest.mark.parametrize("ranks", [pytest.param(None, marks=pytest.mark.slow), "measured"])
def test_a_run_that_lacks_its_record_alone_is_finished_by_one_process(tmp_path: Path, ranks: object) -> None:
    train_group(staged(tmp_path, APART))
    record = tmp_path / "running" / "result.json"
    before = read_record(record)
    record.unlink()
    group = staged(tmp_path, APART)
    group.strategy = TeacherPartition(devices=2, ranks=ranks, backend="gloo")
    train_group(group)
    assert read_record(record).teacher_metrics == before.teacher_metrics


def test_a_process_holds_the_teachers_of_its_partition_alone(tmp_path: Path) -> None:
    group = staged(tmp_path, APART)
    strategy = TeacherPartition(devices=2)
    divide(group.stages, group.data, strategy.divide(images(APART)), own=0)
    own, other = (part.train.pool.teachers for part in group.stages[0].partitions.values())
    assert {p.device.type for t in own.values() for p in t.parameters()} == {"cpu"}
    assert {p.device.type for t in other.values() for p in t.parameters()} == {"meta"}
    assert list(group.stages[0].own()) == ["own"]
    assert other["loud"].spatial_dim == 20


@pytest.mark.parametrize(
    ("options", "stages", "says"),
    [
        ({"devices": 1}, STAGES, "stage 'second' has 2 partitions, one for each process at least, and .* come to 1"),
        ({"devices": 2}, {"first": StagePlan()}, "no stage has several; choose stages=one_teacher_per_image"),
        ({"devices": 3, "ranks": {"fourth": {}}}, STAGES, r"strategy\.ranks\.fourth: no stage has this name"),
        ({"devices": 3, "ranks": {"second": {"own": 3}}}, STAGES, r"ranks\.second must give each partition its proc"),
        ({"devices": 3, "ranks": {"second": {"own": 3, "other": 1}}}, STAGES, "comes to 4 processes, and there are 3"),
    ],
)
def test_a_division_that_cannot_be_is_refused(
    options: dict[str, object], stages: Mapping[str, StagePlan], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        TeacherPartition(**options).divide(images(stages))


def test_processes_are_divided_as_chosen_or_evenly() -> None:
    chosen = TeacherPartition(devices=4, nodes=2, ranks={"third": {"both": 7, "large": 1}}).divide(images(STAGES))
    assert chosen == {
        "first": {"all": range(8)},
        "second": {"own": range(4), "other": range(4, 8)},
        "third": {"both": range(7), "large": range(7, 8)},
    }


def test_running_statistics_of_a_teacher_that_several_partitions_show_are_refused(tmp_path: Path) -> None:
    refuse_shared_statistics(staged(tmp_path).stages, staged(tmp_path).runs)
    group = make_group(tmp_path, {"running": running}, stages=STAGES)
    refuse_shared_statistics(group.stages[:2], group.runs)
    with pytest.raises(ValueError, match=r"running has running statistics .* in stage 'third' several partitions show"):
        refuse_shared_statistics(group.stages, group.runs)
