"""Memory, time and balance of a run that is spread in four ways, and where each breaks."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from phis_lab.config.build import build
from phis_lab.config.compose import composed
from phis_lab.engine import OptimizerRecipe
from phis_lab.plan import LAYOUTS, Machine, balance, device, planned, problems_of, workload
from phis_lab.plan.workload import share_of_reads, state_bytes

A100 = device("a100")


@pytest.fixture(scope="module")
def work():
    """Four teachers of one partition each, on sixteen images of a step."""
    return workload(composed(["debug=smoke", "stages=one_teacher_per_image", "data.batch_size=64"]))


@pytest.mark.parametrize("name", ["adamw", "lamb", "sgd"])
def test_the_state_of_an_optimiser_is_that_of_a_real_one(name):
    recipe = build(composed([f"optimizer={name}"])["optimizer"], "optimizer")
    real = nn.Sequential(nn.Linear(7, 5), nn.LayerNorm(5))
    optimizer = recipe.build(real)
    real(torch.ones(2, 7)).sum().backward()
    optimizer.step()
    held = sum(v.nbytes for state in optimizer.state.values() for v in state.values() if torch.is_tensor(v))
    with torch.device("meta"):
        assert state_bytes(recipe, nn.Sequential(nn.Linear(7, 5), nn.LayerNorm(5))) == held


def test_an_optimiser_that_reads_values_has_a_state_that_is_not_known():
    recipe = OptimizerRecipe(torch.optim.Adafactor, lr=1e-3)
    with torch.device("meta"):
        assert state_bytes(recipe, nn.Linear(7, 5)) is None


def test_a_workload_has_the_parameters_and_the_operations_of_what_is_built(work):
    real = build(composed(["debug=smoke"])["student"], "student")
    assert work.student.parameters - work.student.heads == sum(p.numel() for p in real.parameters())
    (stage,) = work.stages
    assert [part.images for part in stage.partitions] == [16] * 4
    seen = {teacher.name: teacher for part in stage.partitions for teacher in part.teachers}
    assert max(seen, key=lambda name: seen[name].forward.flops) == "sam_h"


def test_arms_share_one_teacher_pass_and_have_states_of_their_own(work):
    one, four = (planned(replace(work, arms=arms), Machine(A100, 1), "single") for arms in (1, 4))
    (before,), (after,) = one.stages[0].shares, four.stages[0].shares
    assert after.step.teachers == before.step.teachers
    assert after.step.student == pytest.approx(4 * before.step.student)
    assert four.memory["optimiser state"] == 4 * one.memory["optimiser state"]
    assert (four.memory["gradients"], four.memory["teachers"]) == (one.memory["gradients"], one.memory["teachers"])


def test_ranks_divide_images_and_fsdp_divides_the_student(work):
    layouts = {name: planned(work, Machine(A100, 4), name) for name in LAYOUTS}
    (alone,), (shared,) = (layouts[name].stages[0].shares for name in ("single", "ddp"))
    assert shared.step.teachers == pytest.approx(alone.step.teachers / 4)
    assert (alone.step.link, layouts["single"].ranks) == (0, 1)
    exchange = 2 * 3 / 4 * work.student.trained_bytes / 300e9
    assert shared.step.link + shared.step.hidden == pytest.approx(exchange)
    assert shared.step.hidden == pytest.approx(min(exchange, shared.step.student * 2 / 3))
    assert layouts["fsdp2"].memory["optimiser state"] == layouts["ddp"].memory["optimiser state"] / 4
    assert layouts["fsdp2"].memory["teachers"] == layouts["ddp"].memory["teachers"]
    assert layouts["ddp"].memory["gradients"] == layouts["single"].memory["gradients"]
    divided = layouts["fsdp2"].stages[0].shares[0].step
    assert divided.link + divided.hidden == pytest.approx(1.5 * exchange)
    assert layouts["teacher_partition"].memory["teachers"] < layouts["ddp"].memory["teachers"]


def test_partitions_wait_for_the_slowest_and_whole_ranks_balance_them(work):
    layout = planned(work, Machine(A100, 16), "teacher_partition")
    rows = {row.partition: row for row in balance(work, Machine(A100, 16), layout)}
    assert rows["sam_h"].idle == 0
    assert all(row.idle > 0 for name, row in rows.items() if name != "sam_h")
    assert sum(row.fair_ranks for row in rows.values()) == pytest.approx(16)
    chosen = {name: row.best_ranks for name, row in rows.items()}
    assert sum(chosen.values()) == 16
    assert all(16 % ranks == 0 for ranks in chosen.values())
    assert max(row.best_seconds for row in rows.values()) < rows["sam_h"].seconds


def test_a_rank_of_few_that_share_a_partition_has_more_of_its_images_in_memory(work):
    def memory(*ranks):
        ends = [range(sum(ranks[:place]), sum(ranks[: place + 1])) for place in range(4)]
        crews = {"all": dict(zip(("dfn_clip", "siglip", "dinov2_g", "sam_h"), ends, strict=True))}
        return planned(work, Machine(A100, sum(ranks)), "teacher_partition", crews).memory

    even, uneven, part = memory(4, 4, 4, 4), memory(8, 4, 2, 2), "student's activations"
    assert even == planned(work, Machine(A100, 16), "teacher_partition").memory
    assert uneven[part] == pytest.approx(2 * even[part], rel=0.2)
    assert uneven["teachers"] == even["teachers"]


def test_what_breaks_is_told_with_what_to_do(work):
    def problems(name, machine):
        found = problems_of(work, machine, planned(work, machine, name))
        return " ".join(problem.says for problem in found)

    assert problems("ddp", Machine(A100, 4)) == ""
    small = Machine(device("a100", memory_gb=0.001), 4)
    assert "does not fit: a rank needs about 0.0" in problems("ddp", small)
    assert (
        "16 images a step (all/dfn_clip, all/siglip, all/dinov2_g, all/sam_h) do not divide among 6 ranks; take 4 or 8"
        in (problems("ddp", Machine(A100, 6)))
    )
    assert problems("teacher_partition", Machine(A100, 6)) == ""  # of which the strategy says why
    crews = {"all": dict(zip(("dfn_clip", "siglip", "dinov2_g", "sam_h"), map(range, (1, 2, 3, 4)), strict=True))}
    layout = planned(work, Machine(A100, 10), "teacher_partition", crews)
    assert [share.ranks for share in layout.stages[0].shares] == [1, 2, 3, 4]
    assert next(problems_of(work, Machine(A100, 10), layout, crews)).says == (
        "does not start: 16 images a step (all/dinov2_g) do not divide among 3 ranks; take 2 or 4 of them, or another "
        "data.batch_size"
    )
    assert "is bound by the link in stage all" in problems("ddp", Machine(device("a100", link=1e-3), 4))
    assert "take 32 of them" not in problems("single", Machine(A100, 1))


def test_fixed_views_are_seen_once_by_teachers(work):
    config = composed(["debug=smoke", "augmentation.views=2", "data.train_images=48"])
    (stage,) = work.stages
    teachers = [teacher for part in stage.partitions for teacher in part.teachers]

    def share(**changed):
        return share_of_reads(config | changed, teachers, grid=(4, 4), shown=24 * 16, partitions=1)

    assert share() == 48 * 2 / (24 * 16)
    assert share(trainer={"memory_gb": 0}) == 1
    assert share(trainer={"memory_gb": 0}, teachers={"store": "features"}) == 48 * 2 / (24 * 16)
    assert share(augmentation={"views": None}) == 1


def test_parts_of_a_batch_take_less_memory_and_a_forward_pass_more(work):
    parts = replace(work, microbatch=2, teacher_microbatch=4)
    whole, parted = (planned(each, Machine(A100, 1), "single") for each in (work, parts))
    for kind, share in (("student's activations", 2 / 16), ("teachers' activations", 4 / 16)):
        assert parted.memory[kind] == pytest.approx(share * whole.memory[kind])
    (before,), (after,) = whole.stages[0].shares, parted.stages[0].shares
    assert after.step.student == pytest.approx(before.step.student * 4 / 3)
    assert after.step.teachers == before.step.teachers
    small = planned(replace(work, microbatch=16), Machine(A100, 1), "single")
    assert small.stages[0].shares[0].step == before.step
