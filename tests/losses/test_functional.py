from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from phis_lab.losses import cosine, dampened_mse, hybrid, mse, smooth_l1, specmatch, squared_angle

LOSSES = {
    "mse": mse,
    "smooth_l1": smooth_l1,
    "dampened_mse": dampened_mse,
    "specmatch": specmatch,
    "cosine": cosine,
    "squared_angle": squared_angle,
    "hybrid_mse": partial(hybrid, regression=mse),
    "hybrid_smooth_l1": partial(hybrid, regression=smooth_l1),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


BY_BATCH = {LOSSES["specmatch"]}
BY_CHANNEL = {LOSSES[name] for name in ("smooth_l1", "dampened_mse", "specmatch", "hybrid_smooth_l1")}


def pair(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, generator=generator, dtype=dtype).unbind()


def numpy_cosine(x, y):
    similarity = (x * y).sum(-1) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1))
    return (1 - similarity).reshape(len(x), -1).mean(1)


def numpy_smooth_l1(x, y, beta):
    error = np.abs(x - y)
    return np.where(error < beta, error**2 / (2 * beta), error - beta / 2).reshape(len(x), -1).mean(1)


def test_mse_is_the_mean_over_tokens_and_channels():
    pred, target = pair(3, 2, 4, 5)
    expected = ((pred.numpy() - target.numpy()) ** 2).reshape(3, -1).mean(1)
    np.testing.assert_allclose(mse(pred, target), expected)


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.0])
def test_smooth_l1_is_squared_below_beta_and_linear_above(beta):
    pred, target = pair(3, 7, 5)
    np.testing.assert_allclose(smooth_l1(pred, target, beta), numpy_smooth_l1(pred.numpy(), target.numpy(), beta))


def test_dampened_mse_is_squared_below_one_and_a_root_above():
    pred, target = pair(3, 7, 5)
    error = 2 * np.abs(pred.numpy() - target.numpy())
    expected = np.where(error < 1, error**2 / 2, 2 * np.sqrt(error) - 1.5).reshape(3, -1).mean(1)
    np.testing.assert_allclose(dampened_mse(2 * pred, 2 * target), expected)


@given(error=st.floats(1e-6, 1e6), sign=st.sampled_from([-1.0, 1.0]))
def test_the_slope_of_dampened_mse_is_the_error_and_then_its_inverse_root(error, sign):
    leaf = torch.tensor([[sign * error]], dtype=torch.float64, requires_grad=True)
    dampened_mse(leaf, torch.zeros(1, 1, dtype=torch.float64)).sum().backward()
    assert_close(leaf.grad.item(), sign * (error if error < 1 else error**-0.5))


def test_cosine_is_one_minus_the_similarity_averaged_over_tokens():
    pred, target = pair(3, 2, 4, 5)
    np.testing.assert_allclose(cosine(pred, target), numpy_cosine(pred.numpy(), target.numpy()))


def test_hybrid_is_nine_tenths_cosine_and_one_tenth_regression():
    pred, target = pair(3, 7, 5)
    expected = 0.9 * numpy_cosine(pred.numpy(), target.numpy()) + 0.1 * mse(pred, target).numpy()
    np.testing.assert_allclose(hybrid(pred, target, regression=mse), expected)


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_cosine_ignores_the_scale_of_the_prediction(scale, seed):
    pred, target = pair(2, 3, 6, seed=seed)
    assert_close(cosine(scale * pred, target), cosine(pred, target))


def test_cosine_is_not_shift_invariant():
    pred, target = pair(2, 3, 6)
    assert not torch.allclose(cosine(pred + 1, target + 1), cosine(pred, target))


@every_loss
@given(shape=st.lists(st.integers(1, 4), min_size=2, max_size=4), seed=st.integers(0, 100))
def test_every_loss_returns_one_value_per_image_and_its_least_for_a_perfect_match(loss, shape, seed):
    pred, other = pair(*shape, seed=seed)
    least = 1e-6 ** (1 / 3) if loss in BY_BATCH else 0.0
    assert_close(loss(pred, pred.clone()), pred.new_full((shape[0],), least))
    assert loss(pred, other).mean() >= least


@pytest.mark.parametrize("loss", [loss for loss in LOSSES.values() if loss not in BY_BATCH])
def test_each_image_depends_on_itself_alone(loss):
    pred, target = pair(4, 3, 3, 5)
    assert_close(loss(pred, target)[1:2], loss(pred[1:2], target[1:2]))


@every_loss
def test_a_rotation_of_both_changes_no_loss_but_those_of_single_channels(loss):
    pred, target = pair(3, 6, 5)
    rotation = torch.linalg.qr(pair(5, 5)[0]).Q
    same = torch.allclose(loss(pred @ rotation, target @ rotation), loss(pred, target))
    assert same == (loss not in BY_CHANNEL)


@every_loss
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1.0])
def test_values_and_gradients_are_finite_for_tokens_of_norm_zero(loss, scale):
    pred, target = pair(2, 3, 4, dtype=torch.float32)
    for x, y in ((scale * pred, target), (pred, scale * target), (scale * pred, scale * target)):
        leaf = x.clone().requires_grad_()
        value = loss(leaf, y)
        value.sum().backward()
        assert value.isfinite().all()
        assert leaf.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("far", [0.0, 1e-20, 1e-4, 1e15])
def test_gradients_are_finite_without_an_error_and_at_a_huge_one(loss, far):
    pred, _ = pair(2, 3, 4, dtype=torch.float32)
    for target in (pred + far, -pred, torch.zeros_like(pred)):
        for scale in (0.0, 1e-30, 1e-20, 1e-12, 1.0):
            leaf = (scale * pred).requires_grad_()
            loss(leaf, scale * target).sum().backward()
            assert leaf.grad.isfinite().all()


@every_loss
def test_half_precision_is_computed_in_float32(loss):
    pred, target = (x.bfloat16() for x in pair(2, 3, 400, dtype=torch.float32))
    assert_close(loss(pred, target), loss(pred.float(), target.float()), rtol=0, atol=0)


@every_loss
def test_shapes_that_differ_are_refused_and_not_broadcast(loss, unchecked_shapes):
    pred, target = pair(2, 3, 4)
    with pytest.raises(ValueError, match=r"same shape, got \(2, 3, 4\) and \(2, 1, 4\)"):
        loss(pred, target[:, :1])
