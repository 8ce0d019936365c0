"""What a step of each partition costs: measured on what will be computed, which stays as it was."""

import copy
import time
from pathlib import Path

import pytest
import torch
from small_arms import make_arm, make_group

from phis_lab.data import PartitionPlan, StagePlan
from phis_lab.engine import Group
from phis_lab.engine.costs import PASSES, measured_costs, student_seconds

CPU = torch.device("cpu")
STAGES = {
    "first": StagePlan(
        partitions={
            "own": PartitionPlan(batch=0.5, teachers={"quiet": 1.0}),
            "other": PartitionPlan(scale=1.5, batch=2.0, teachers={"loud": 1.0}),
        }
    ),
    "second": StagePlan(
        partitions={
            "again": PartitionPlan(batch=0.5, teachers={"quiet": 1.0}),
            "both": PartitionPlan(scale=2.0, batch=0.375),
        }
    ),
}


@pytest.fixture
def group(tmp_path: Path) -> Group:
    arms = {
        "spectral": lambda pool: make_arm(pool, spectral=True),
        "other": lambda pool: make_arm(pool, seed=1, low_precision=torch.bfloat16),
    }
    return make_group(tmp_path, arms, stages=STAGES)


def measured(group: Group) -> dict[str, dict[str, dict[int, float]]]:
    return measured_costs(group.stages, [run.arm for run in group.runs], CPU)


def teachers(group: Group) -> dict[str, object]:
    return {name: each for stage in group.stages for name, each in stage.main.train.pool.teachers.items()} | dict(
        group.stages[1].partitions["both"].train.pool.teachers
    )


def test_numbers_of_processes_are_those_that_divide_the_images(group: Group) -> None:
    costs = measured(group)
    numbers = {stage: {name: list(of) for name, of in parts.items()} for stage, parts in costs.items()}
    assert numbers == {
        "first": {"own": [1, 2, 4, 8], "other": [1, 2, 4, 8, 16, 32]},
        "second": {"again": [1, 2, 4, 8], "both": [1, 2, 3, 6]},
    }
    for seconds in (of for parts in costs.values() for of in parts.values()):
        assert all(more > fewer for more, fewer in zip(seconds.values(), list(seconds.values())[1:], strict=False))


def test_what_is_alike_is_measured_once_and_a_slow_teacher_counts_by_chunks_of_its_images(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    loud, quiet = (teachers(group)[name] for name in ("loud", "quiet"))
    features = loud.features

    def delayed(x: torch.Tensor) -> object:
        time.sleep(0.02)
        return features(x)

    monkeypatch.setattr(loud, "features", delayed)
    costs = measured(group)
    assert quiet.calls == 2 * (1 + PASSES)  # of 16 and of 32 pixels
    assert loud.calls == 3 * (1 + PASSES)  # two chunks in the first stage, one in the second
    assert costs["first"]["other"][1] > 0.04
    assert costs["first"]["other"][2] > 0.02
    assert costs["first"]["own"] == costs["second"]["again"]


def test_images_that_do_not_fit_into_memory_are_fewer(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    arm, seen = group.runs[0].arm, []

    def narrow(student: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        seen.append(len(arguments[0]))
        if seen[-1] > 9:
            raise torch.OutOfMemoryError

    hook = arm.student.register_forward_pre_hook(narrow)
    assert student_seconds(arm, (32, 3, 16, 16), 1.0, ("quiet",), CPU) > 0
    assert seen == [32, 16, *[8] * (1 + PASSES)]
    monkeypatch.setattr(arm, "microbatch", 3)
    seen.clear()
    student_seconds(arm, (8, 3, 16, 16), 1.0, ("quiet",), CPU)
    assert set(seen) == {3, 2}
    hook.remove()


def test_what_is_measured_stays_as_it_was(group: Group) -> None:
    before = [copy.deepcopy(run.arm.training_state()) for run in group.runs]
    random = torch.get_rng_state()
    measured(group)
    for state, run in zip(before, group.runs, strict=True):
        torch.testing.assert_close(run.arm.training_state(), state, rtol=0, atol=0)
        assert all(parameter.grad is None for parameter in run.arm.parameters())
        assert run.arm.student.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.device == CPU for teacher in teachers(group).values() for p in teacher.parameters())
