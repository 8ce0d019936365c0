from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from processes import run_ranks
from torch.testing import assert_close

from phis_lab.linalg import Moments
from phis_lab.losses import SpecMatch, mse, specmatch
from phis_lab.normalizers import PartialWhiten

powers = st.floats(0.05, 1.0)


def pair(images=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(1, -1, 5, dtype=torch.float64)
    target = scale * torch.randn(images, 2, 3, 5, generator=generator, dtype=torch.float64)
    return target + 0.3 * torch.randn(target.shape, generator=generator, dtype=torch.float64), target


def formula(pred, target, power, epsilon):
    """The paper's, with the mean over components in place of the sum."""
    return ((pred - target).square().mean(dim=(0, 1, 2)) + epsilon).pow(power).mean()


@given(power=powers, epsilon=st.floats(1e-6, 1e-1), seed=st.integers(0, 100))
def test_the_mean_over_images_has_the_value_and_the_gradient_of_the_formula(power, epsilon, seed):
    pred, target = pair(seed=seed)
    ours, theirs = pred.clone().requires_grad_(), pred.clone().requires_grad_()
    value, expected = specmatch(ours, target, power, epsilon).mean(), formula(theirs, target, power, epsilon)
    assert_close(value, expected)
    value.backward()
    expected.backward()
    assert_close(ours.grad, theirs.grad)


@given(power=powers, seed=st.integers(0, 100))
def test_no_image_has_a_negative_loss(power, seed):
    pred, target = pair(seed=seed)
    pred[0] = target[0]
    assert (specmatch(pred, target, power) > 0).all()


def test_at_power_one_it_is_the_mean_squared_error_of_each_image():
    pred, target = pair()
    assert_close(specmatch(pred, target, 1.0, 1e-6), mse(pred, target) + 1e-6)


def test_a_component_pulls_by_a_power_of_its_error():
    error = torch.tensor([1.0, 1e-2], dtype=torch.float64, requires_grad=True)
    specmatch(error.sqrt().expand(4, 2), torch.zeros(4, 2, dtype=torch.float64), 0.5, 1e-9).mean().backward()
    assert_close(error.grad, 0.5 * torch.tensor([1.0, 10.0], dtype=torch.float64) / 2, rtol=1e-5, atol=0)


@given(power=st.floats(0.1, 0.9), seed=st.integers(0, 100))
def test_the_static_variant_is_mse_under_partial_whitening(power, seed):
    pred, target = pair(20, seed)
    moments = Moments(5).update(target)
    normalizer = PartialWhiten(5, gamma=1 - power).double().fit(moments)
    eigenvalues, basis = moments.eigh()
    errors = ((pred - target) @ basis).square().mean(dim=(0, 1, 2))
    static = (eigenvalues.pow(power - 1) * errors).mean() / eigenvalues.pow(power).mean()
    assert_close(mse(normalizer(pred), normalizer(target)).mean(), static)


@pytest.mark.parametrize("power", [0.0, -1.0, 1.1, float("nan")])
def test_a_power_outside_zero_to_one_is_refused(power):
    with pytest.raises(ValueError, match="power must lie in"):
        SpecMatch(power=power)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan")])
def test_an_epsilon_that_is_not_positive_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon must be positive"):
        SpecMatch(epsilon=epsilon)


def gradient_of_rank(rank: int, folder: str) -> None:
    """One rank's half of the images; leaves the gradient of its mean loss."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    pred, target = (side.chunk(2)[rank] for side in pair())
    leaf = pred.clone().requires_grad_()
    specmatch(leaf, target).mean().backward()
    torch.save(leaf.grad, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.ddp
def test_the_error_of_a_component_is_that_of_all_processes(tmp_path):
    run_ranks(gradient_of_rank, str(tmp_path))
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    pred, target = pair()
    leaf = pred.clone().requires_grad_()
    formula(leaf, target, 1 / 3, 1e-6).backward()
    assert_close(torch.cat(halves) / 2, leaf.grad)
