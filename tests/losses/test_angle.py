import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from processes import run_ranks
from torch.testing import assert_close

from phis_lab.features import Features
from phis_lab.losses import MSE, AngleSummary, SmoothL1, SpecMatch, angular_dispersion, mse, smooth_l1, squared_angle

DIM = 6


def summaries(count=16, spread=0.5, seed=0):
    """Directions around the first axis, of various lengths."""
    generator = torch.Generator().manual_seed(seed)
    y = spread * torch.randn(count, DIM, generator=generator, dtype=torch.float64)
    return (y + torch.eye(DIM, dtype=torch.float64)[0]) * torch.linspace(0.5, 2, count, dtype=torch.float64)[:, None]


def arccos_squared(x, y):
    return (x * y).sum(-1).div(x.norm(dim=-1) * y.norm(dim=-1)).clamp(-1, 1).arccos().square()


def numerical_dispersion(y, mean):
    return arccos_squared(y, mean.expand_as(y)).mean()


@given(seed=st.integers(0, 100))
def test_the_squared_angle_is_that_of_arccos(seed):
    x, y = summaries(seed=seed), summaries(seed=seed + 1000)
    assert_close(squared_angle(x, y), arccos_squared(x, y))


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 30.0, 90.0, 179.0, 180.0])
def test_known_angles_and_their_slope_in_float32(degrees):
    angle = math.radians(degrees)
    x = torch.tensor([[3.0, 0.0]], requires_grad=True)
    y = 5 * torch.tensor([[math.cos(angle), math.sin(angle)]])
    value = squared_angle(x, y)
    value.sum().backward()
    assert_close(value, torch.tensor([angle**2]), rtol=1e-4, atol=1e-12)
    if degrees < 180:  # beyond, the way back is no longer unique
        assert_close(x.grad, torch.tensor([[0.0, -2 * angle / 3]]), rtol=1e-3, atol=1e-9)


def test_a_vector_of_norm_zero_is_at_a_right_angle_to_all():
    x, zero = summaries(), torch.zeros(16, DIM, dtype=torch.float64)
    right = torch.full((16,), (math.pi / 2) ** 2, dtype=torch.float64)
    for pred, target in ((zero, x), (x, zero), (zero, zero)):
        assert_close(squared_angle(pred, target), right)


@given(first=st.floats(1e-3, 1e3), second=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_lengths_do_not_matter(first, second, seed):
    x, y = summaries(seed=seed), summaries(seed=seed + 1000)
    assert_close(squared_angle(first * x, second * y), squared_angle(x, y))


@pytest.mark.parametrize("angle", [0.01, 0.7, 1.5])
def test_the_dispersion_of_a_cone_is_its_squared_opening(angle):
    around = torch.arange(8) * math.pi / 4
    cone = torch.stack([torch.full((8,), 1 / math.tan(angle)), around.cos(), around.sin()], dim=1)
    assert_close(angular_dispersion(cone), torch.tensor(angle**2), rtol=1e-4, atol=0)


def test_directions_without_preference_have_the_dispersion_of_right_angles():
    y = torch.randn(4000, 300, generator=torch.Generator().manual_seed(0))
    assert_close(angular_dispersion(y, torch.eye(300)[0]), torch.tensor(math.pi**2 / 4), rtol=0.01, atol=0)


def test_predicting_the_teachers_mean_scores_one():
    y = summaries()
    loss = AngleSummary(MSE())
    assert_close(loss.summary(y.mean(dim=0).expand_as(y), y).mean().item(), 1.0)


def test_teachers_of_narrow_and_wide_cones_weigh_alike():
    for spread in (1e-3, 0.1, 1.0):
        y = summaries(spread=spread)
        shuffled = AngleSummary(MSE()).summary(y.roll(1, 0), y).mean().item()
        assert 1 < shuffled < 4


def test_the_estimate_is_the_average_of_the_first_steps():
    batches = [summaries(seed=seed) for seed in range(5)]
    loss = AngleSummary(MSE(), momentum=0.999)
    dispersions = []
    for t, y in enumerate(batches, start=1):
        mean = torch.cat(batches[:t]).mean(dim=0)
        dispersions.append(numerical_dispersion(y, mean))
        expected = torch.stack(dispersions).mean()
        assert_close(loss.summary(summaries(seed=9), y), squared_angle(summaries(seed=9), y) / expected)
        assert_close(loss.mean, mean)
        assert_close(loss.dispersion, expected)


def test_later_steps_weigh_one_minus_momentum():
    first, second, third = (summaries(seed=seed) for seed in range(3))
    loss = AngleSummary(MSE(), momentum=0.5)
    for y in (first, second, third):
        loss.summary(y, y)
    assert_close(loss.mean, (first.mean(0) + second.mean(0)) / 4 + third.mean(0) / 2)


def test_a_long_stream_finds_the_dispersion_of_the_teacher():
    loss = AngleSummary(MSE())
    for seed in range(300):
        loss.summary(summaries(seed=seed), summaries(seed=seed))
    everything = torch.cat([summaries(seed=seed) for seed in range(1000, 1300)])
    assert_close(loss.dispersion, angular_dispersion(everything), rtol=0.03, atol=0)


def test_evaluation_uses_the_estimate_and_leaves_it_alone():
    loss = AngleSummary(MSE())
    y, other = summaries(), summaries(seed=1, spread=0.1)
    assert_close(loss.eval().summary(other, y), squared_angle(other, y) / angular_dispersion(y))
    assert loss.mean.numel() == 0
    assert loss.steps == 0
    loss.train().summary(y, y)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    assert_close(loss.eval().summary(y, other), squared_angle(y, other) / angular_dispersion(y))
    assert_close(dict(loss.state_dict()), before, rtol=0, atol=0)


def test_a_fresh_loss_goes_on_where_the_saved_one_stopped():
    saved, fresh = AngleSummary(MSE()), AngleSummary(MSE())
    fresh.load_state_dict(saved.state_dict())
    for seed in range(3):
        saved.summary(summaries(), summaries(seed=seed))
    fresh.load_state_dict({name: value.clone() for name, value in saved.state_dict().items()})
    for seed in range(3, 6):
        pair = summaries(), summaries(seed=seed)
        assert_close(fresh.summary(*pair), saved.summary(*pair), rtol=0, atol=0)
    assert_close(dict(fresh.state_dict()), dict(saved.state_dict()), rtol=0, atol=0)


def test_the_estimate_carries_no_gradient():
    leaf, y = summaries().requires_grad_(), summaries(seed=1).requires_grad_()
    loss = AngleSummary(MSE())
    loss.summary(leaf, y.detach()).sum().backward()
    assert not loss.dispersion.requires_grad
    twin = summaries().requires_grad_()
    (squared_angle(twin, y.detach()) / angular_dispersion(y.detach())).sum().backward()
    assert_close(leaf.grad, twin.grad)


@pytest.mark.parametrize("images", [1, 4])
def test_a_constant_teacher_keeps_values_and_gradients_finite(images):
    leaf = summaries(images).float().requires_grad_()
    value = AngleSummary(MSE()).summary(leaf, torch.ones(images, DIM))
    value.sum().backward()
    assert value.isfinite().all()
    assert leaf.grad.isfinite().all()


def test_the_value_has_the_precision_of_the_features():
    y = summaries().bfloat16()
    assert AngleSummary(MSE()).summary(y, y).dtype == torch.float32


@pytest.mark.parametrize(("inner", "spatial"), [(MSE(), mse), (SmoothL1(0.5), lambda x, y: smooth_l1(x, y, 0.5))])
def test_spatial_features_are_left_to_the_other_loss(inner, spatial):
    x, y = torch.randn(2, 3, 2, 2, 5, generator=torch.Generator().manual_seed(0)).unbind()
    rows = AngleSummary(inner)(Features(None, x), Features(None, y))
    assert list(rows) == ["spatial"]
    assert_close(rows["spatial"], spatial(x, y))


def test_a_perfect_match_of_both_kinds_has_rows_of_zero():
    y = summaries(3)
    both = Features(y, y.view(3, 1, 2, 3))
    rows = AngleSummary(MSE())(both, both)
    assert rows.keys() == {"spatial", "summary"}
    assert_close(rows["summary"], torch.zeros(3, dtype=torch.float64))


def test_summaries_of_another_teacher_are_refused(unchecked_shapes):
    loss = AngleSummary(MSE())
    loss.summary(summaries(), summaries())
    with pytest.raises(ValueError, match="with 6 channels, got 4; give each teacher"):
        loss.summary(summaries()[:, :4], summaries()[:, :4])


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_a_momentum_outside_zero_to_one_is_refused(momentum):
    with pytest.raises(ValueError, match="momentum must lie in"):
        AngleSummary(SpecMatch(), momentum=momentum)


def estimate_of_rank(rank: int, folder: str) -> None:
    """Two steps on one rank's half of each batch; leaves its state."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    loss = AngleSummary(MSE())
    for seed in range(2):
        half = summaries(seed=seed).chunk(2)[rank]
        loss.summary(half, half)
    torch.save(loss.state_dict(), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.ddp
def test_all_processes_have_the_estimate_of_one_that_sees_everything(tmp_path):
    run_ranks(estimate_of_rank, str(tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert_close(dict(first), dict(second), rtol=0, atol=0)
    alone = AngleSummary(MSE())
    for seed in range(2):
        alone.summary(summaries(seed=seed), summaries(seed=seed))
    assert_close(dict(first), dict(alone.state_dict()))
