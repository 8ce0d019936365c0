from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from processes import run_ranks
from torch.testing import assert_close

from phis_lab.losses import AdaLoss, Uniform


def losses(*means, batch=4):
    """Rows of losses with the given means, not constant over the batch."""
    return torch.tensor(means)[:, None] * torch.linspace(0.5, 1.5, batch)


def test_uniform_sums_the_mean_of_each_row():
    assert_close(Uniform()(losses(1.0, 10.0)), torch.tensor(11.0))


def test_uniform_weighs_each_row_by_its_weight():
    assert_close(Uniform(weights=[3.0, 0.5])(losses(1.0, 10.0)), torch.tensor(8.0))


def test_the_first_step_of_adaloss_gives_every_row_the_value_one():
    assert_close(AdaLoss()(losses(1e-4, 20.0, 3.0)), torch.tensor(3.0))


def test_adaloss_divides_by_the_running_mean_of_each_row():
    balancer = AdaLoss(momentum=0.9)
    balancer(losses(1.0, 10.0))
    value = balancer(losses(2.0, 5.0))
    assert_close(value, torch.tensor(2.0 / (0.9 * 1 + 0.1 * 2) + 5.0 / (0.9 * 10 + 0.1 * 5)))


@given(scale=st.floats(1e-6, 1e6), momentum=st.floats(0, 0.999))
def test_adaloss_is_blind_to_the_scale_of_a_row(scale, momentum):
    plain, scaled = AdaLoss(momentum), AdaLoss(momentum)
    for first in (1.0, 0.7, 0.4):
        expected = plain(losses(first, 1.0))
        value = scaled(losses(scale * first, 1.0))
    assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_adaloss_is_that_of_constant_weights():
    balancer = AdaLoss()
    rows = losses(2.0, 10.0).requires_grad_()
    balancer(rows).backward()
    assert_close(rows.grad, torch.tensor([[0.5], [0.1]]).expand(2, 4) / 4)
    assert not balancer.average.requires_grad


def test_evaluation_uses_the_average_and_leaves_it_alone():
    balancer = AdaLoss()
    assert_close(balancer.eval()(losses(4.0)), torch.tensor(1.0))
    assert balancer.average.numel() == 0
    balancer.train()(losses(2.0))
    assert_close(balancer.eval()(losses(6.0)), torch.tensor(3.0))
    assert_close(balancer.average, torch.tensor([2.0]))


def test_a_fresh_adaloss_goes_on_where_the_saved_one_stopped():
    saved = AdaLoss()
    saved(losses(1.0, 10.0))
    state = {name: value.clone() for name, value in saved.state_dict().items()}
    fresh = AdaLoss()
    fresh.load_state_dict(state)
    assert_close(fresh(losses(3.0, 4.0)), saved(losses(3.0, 4.0)), rtol=0, atol=0)
    assert_close(fresh.average, saved.average, rtol=0, atol=0)


def test_an_adaloss_that_saw_nothing_can_be_saved_and_loaded():
    AdaLoss().load_state_dict(AdaLoss().state_dict())


def test_a_row_of_zeros_stays_finite():
    rows = torch.zeros(1, 4, requires_grad=True)
    value = AdaLoss()(rows)
    value.backward()
    assert value == 0
    assert rows.grad.isfinite().all()


@pytest.mark.parametrize("balancer", [Uniform(), AdaLoss()], ids=["uniform", "adaloss"])
@pytest.mark.parametrize("shape", [(4,), (2, 0), (0, 2), (1, 2, 3)])
def test_losses_that_are_no_matrix_are_refused(balancer, shape):
    with pytest.raises(ValueError, match=r"stacked as \[rows, batch\]"):
        balancer(torch.ones(shape))


def test_weights_that_do_not_fit_the_rows_are_refused():
    with pytest.raises(ValueError, match="3 weights for 2 rows"):
        Uniform(weights=[1, 1, 1])(losses(1.0, 2.0))


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_are_negative_or_not_finite_are_refused(weight):
    with pytest.raises(ValueError, match="finite and not negative"):
        Uniform(weights=[1.0, weight])


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_a_momentum_outside_zero_to_one_is_refused(momentum):
    with pytest.raises(ValueError, match="momentum must lie in"):
        AdaLoss(momentum)


def test_adaloss_refuses_another_number_of_rows():
    balancer = AdaLoss()
    balancer(losses(1.0, 2.0))
    with pytest.raises(ValueError, match="of 2 rows of losses, got 1"):
        balancer(losses(1.0))


def average_of_rank(rank: int, folder: str) -> None:
    """Two steps of AdaLoss on one rank's own losses; leaves its average in the folder."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    balancer = AdaLoss(momentum=0.9)
    for step in range(2):
        balancer(losses(1.0 + rank + step, 10.0 * rank + 1))
    torch.save(balancer.average, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.ddp
def test_all_ranks_have_the_average_of_the_mean_over_ranks(tmp_path):
    run_ranks(average_of_rank, str(tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert_close(first, second, rtol=0, atol=0)
    assert_close(first, torch.tensor([0.9 * 1.5 + 0.1 * 2.5, 6.0]))
