"""Two processes walk through stages as one does, with statistics that run and maps that learn."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processes import free_port, run_ranks
from small_arms import make_arm, make_group, patch_pool
from test_ddp import joined
from test_shared_arms import weights

from phis_lab.data import PartitionPlan, StagePlan
from phis_lab.engine import Arm, Group, OptimizerRecipe, train_group
from phis_lab.losses import UNIC, TinTeM, Uniform
from phis_lab.normalizers import EMAStandardize, TeacherInTheMiddle, TeacherSpace
from phis_lab.seeds import RandomStream
from phis_lab.students import IdentityHead, Student, ViT
from phis_lab.teachers import TeacherPool

STAGES = {
    "first": StagePlan(),
    "second": StagePlan(partitions={"low": PartitionPlan(scale=1.5), "high": PartitionPlan(scale=2.0, batch=0.25)}),
}


def unic(pool: TeacherPool) -> Arm:
    arm = make_arm(pool, EMAStandardize, drop_path=0.0, loss=UNIC())
    maps = {
        name: (EMAStandardize(teacher.spatial_dim), EMAStandardize(teacher.summary_dim))
        for name, teacher in pool.teachers.items()
    }
    spaces = {name: TeacherSpace(name, *of_teacher) for name, of_teacher in maps.items()}
    return Arm(arm.student, spaces, UNIC(), Uniform(), arm.recipe, arm.stream)


def tintem(pool: TeacherPool) -> Arm:
    stream = RandomStream(0)
    with stream.active():
        backbone = ViT(image_size=16, patch_size=8, width=12, depth=2, heads=2)
        student = Student(backbone, IdentityHead, dict.fromkeys(pool.teachers, (12, 12)))
    maps = {name: TeacherInTheMiddle(teacher.spatial_dim, 12) for name, teacher in pool.teachers.items()}
    spaces = {name: TeacherSpace(name, of_teacher) for name, of_teacher in maps.items()}
    recipe = OptimizerRecipe(torch.optim.AdamW, lr=1e-2, weight_decay=0.02, clip=1.0)
    return Arm(student, spaces, TinTeM(), Uniform(), recipe, stream)


ARMS: dict[str, Callable[[TeacherPool], Arm]] = {"unic": unic, "tintem": tintem}


def staged(folder: Path) -> Group:
    group = make_group(folder, ARMS, stages=STAGES, max_steps=18)
    group.evaluation.probes = {}
    return group


def train_as(rank: int, world: int, port: int, folder: Path) -> None:
    group = staged(folder)
    group.strategy = joined(rank, world, port)
    train_group(group)


@pytest.mark.ddp
def test_two_processes_equal_one_through_stages(tmp_path: Path) -> None:
    assert len(patch_pool().teachers) == 2
    train_group(staged(tmp_path / "one"))
    run_ranks(train_as, 2, free_port(), tmp_path / "two")
    for key in ARMS:
        one, two = weights(tmp_path / "one" / key), weights(tmp_path / "two" / key)
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            if tensor.is_floating_point():
                torch.testing.assert_close(two[name], tensor, rtol=0, atol=2e-3, msg=lambda m, n=name: f"{n}: {m}")
