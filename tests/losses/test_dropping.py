"""Teacher dropping against a plain loop, and the laws that it obeys."""

import copy
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from processes import run_ranks
from torch.testing import assert_close

from phis_lab.losses import balance
from phis_lab.losses.balance import TeacherDropping

probabilities = st.floats(0, 1)
levels = pytest.mark.parametrize("level", ["image", "batch"])


def losses(teachers=3, images=8, seed=0):
    return torch.rand(teachers, images, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def coefficients(balancer, rows):
    """0 or 1 for each pair, read off the weights that the balancer gives."""
    return (balancer.weigh(rows) > 0).expand_as(rows)


def loop(rows, draws, probability):
    """As it is written down: image by image, teacher by teacher."""
    total, kept = 0.0, 0
    for image in range(rows.shape[1]):
        column = rows[:, image].tolist()
        for teacher, loss in enumerate(column):
            if loss == max(column) or draws[teacher][image] >= probability:
                total += loss
                kept += 1
    return total / kept


@given(p=probabilities, teachers=st.integers(1, 6), images=st.integers(1, 30), seed=st.integers(0, 99))
def test_it_is_the_loop_over_images_and_teachers(p, teachers, images, seed):
    balancer, rows = TeacherDropping(p, seed=seed), losses(teachers, images, seed)
    draws = torch.rand(teachers, images, generator=copy.deepcopy(balancer)._generator).tolist()
    assert balancer(rows).item() == pytest.approx(loop(rows, draws, p), rel=1e-12)


@given(p=probabilities, seed=st.integers(0, 99))
def test_the_highest_loss_of_an_image_is_always_kept(p, seed):
    rows = losses(4, 50, seed)
    kept = coefficients(TeacherDropping(p, seed=seed), rows)
    assert kept.gather(0, rows.argmax(dim=0, keepdim=True)).all()


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
def test_of_the_others_a_share_p_is_dropped(p):
    rows = losses(4, 20_000)
    kept = coefficients(TeacherDropping(p), rows).sum().item() - rows.shape[1]
    others = 3 * rows.shape[1]
    assert kept / others == pytest.approx(1 - p, abs=4 * (p * (1 - p) / others) ** 0.5)


@levels
def test_without_dropping_it_is_the_plain_mean(level):
    rows = losses()
    assert_close(TeacherDropping(0.0, level)(rows), rows.mean())


def test_certain_dropping_leaves_the_mean_of_the_highest_losses():
    rows = losses()
    assert_close(TeacherDropping(1.0)(rows), rows.amax(dim=0).mean())
    teacher = rows.mean(dim=1).argmax()
    assert_close(TeacherDropping(1.0, level="batch")(rows), rows[teacher].mean())


@levels
def test_one_teacher_is_never_dropped(level):
    rows = losses(teachers=1)
    assert_close(TeacherDropping(1.0, level)(rows), rows.mean())


def test_teachers_with_the_same_highest_loss_are_both_kept():
    rows = torch.tensor([[2.0, 1.0], [2.0, 5.0], [1.0, 0.0]])
    assert coefficients(TeacherDropping(1.0), rows).tolist() == [[True, False], [True, True], [False, False]]


def test_every_kept_pair_weighs_alike_and_the_gradient_is_that_of_constant_weights():
    rows = losses(4, 30).requires_grad_()
    TeacherDropping(0.5)(rows).backward()
    kept = coefficients(TeacherDropping(0.5), rows.detach())
    assert 30 < kept.sum() < 120
    assert_close(rows.grad, kept / kept.sum(dtype=torch.float64))


def test_a_batch_drops_a_teacher_from_all_images_or_from_none():
    balancer, rows = TeacherDropping(0.5, level="batch"), losses(4, 10)
    seen = torch.stack([balancer.weigh(rows) for _ in range(200)])
    assert seen.shape == (200, 4, 1)
    share = (seen > 0).double().mean(dim=(0, 2))
    worst = rows.mean(dim=1).argmax()
    assert share[worst] == 1
    assert ((share > 0.35) & (share < 0.65)).sum() == 3
    assert_close(balancer(rows).item(), loop_of_batch(balancer, rows), rtol=1e-9, atol=0)


def loop_of_batch(balancer, rows):
    """The last decision again, from a copy of the draws' state as it was before."""
    again = TeacherDropping(balancer.probability, level="batch")
    for _ in range(200):
        again.weigh(rows)
    kept = coefficients(again, rows)
    return (rows * kept).sum().item() / kept.sum().item()


@levels
def test_evaluation_is_the_plain_mean_and_draws_nothing(level):
    balancer, rows = TeacherDropping(0.9, level), losses()
    before = balancer.get_extra_state()
    assert_close(balancer.eval()(rows), rows.mean())
    assert torch.equal(balancer.get_extra_state(), before)


def test_a_fresh_one_goes_on_where_the_saved_one_stopped(tmp_path):
    rows, saved = losses(), TeacherDropping(seed=3)
    for _ in range(5):
        saved(rows)
    torch.save(torch.nn.ModuleDict({"balancer": saved}).state_dict(), tmp_path / "state.pt")
    expected = [saved(rows).item() for _ in range(5)]
    fresh = TeacherDropping()
    state = torch.load(tmp_path / "state.pt", weights_only=True, mmap=True)
    torch.nn.ModuleDict({"balancer": fresh}).load_state_dict(state)
    assert [fresh(rows).item() for _ in range(5)] == expected


def test_the_seed_decides_and_torchs_own_stream_is_left_alone():
    rows = losses(4, 100)
    before = torch.get_rng_state()
    first, again, other = (coefficients(TeacherDropping(seed=seed), rows) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_is_found_beside_the_other_balancers():
    assert balance.TeacherDropping is TeacherDropping


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_zero_to_one_is_refused(probability):
    with pytest.raises(ValueError, match="probability must lie in"):
        TeacherDropping(probability)


@pytest.mark.parametrize("shape", [(4,), (2, 0), (0, 2)])
def test_losses_that_are_no_matrix_are_refused(shape):
    with pytest.raises(ValueError, match=r"stacked as \[rows, batch\]"):
        TeacherDropping()(torch.ones(shape))


@pytest.mark.gpu
def test_a_gpu_drops_what_a_cpu_drops():
    rows = losses(4, 100)
    assert torch.equal(TeacherDropping().cuda().weigh(rows.cuda()).cpu(), TeacherDropping().weigh(rows))


def decisions_of_rank(rank: int, folder: str, level: str) -> None:
    """Two decisions on one rank's half of the images; leaves them and the state in the folder."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    balancer = TeacherDropping(level=level)
    kept = [coefficients(balancer, losses(4, 40).chunk(2, dim=1)[rank]) for _ in range(2)]
    torch.save([torch.stack(kept), balancer.get_extra_state()], Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.ddp
@levels
def test_two_processes_drop_what_one_drops(tmp_path, level):
    run_ranks(decisions_of_rank, str(tmp_path), level)
    halves, states = zip(*(torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)), strict=True)
    alone = TeacherDropping(level=level)
    expected = torch.stack([coefficients(alone, losses(4, 40)) for _ in range(2)])
    assert torch.equal(torch.cat(halves, dim=2), expected)
    assert all(torch.equal(state, alone.get_extra_state()) for state in states)
