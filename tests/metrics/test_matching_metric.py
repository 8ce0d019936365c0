import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from processes import run_ranks
from torch.testing import assert_close

from phis_lab.metrics import TeacherMatching

DIM = 5


def features(images=6, offset=0.0, seed=0):
    """Predictions and targets [images, 2, 3, DIM], float32 as networks give them."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(-1, 1, DIM)
    target = offset + scale * torch.randn(images, 2, 3, DIM, generator=generator) + torch.arange(DIM)
    return target + 0.3 * scale * torch.randn(target.shape, generator=generator) + 0.1, target


def oracle(pred, target):
    pred, target = (x.reshape(-1, DIM).numpy().astype(np.float64) for x in (pred, target))
    error = pred - target
    mse = (error**2).mean()
    norms = np.linalg.norm(pred, axis=1) * np.linalg.norm(target, axis=1)
    return {
        "mse": mse,
        "fidelity": target.var(axis=0).mean() / mse,
        "fidelity_global": target.var() / mse,
        "cosine": ((pred * target).sum(1) / norms).mean(),
        "error_variance_range": np.ptp(error.var(axis=0)),
    }


def assert_matches(values, expected, rtol=1e-9):
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, rtol=rtol, err_msg=name)


@given(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4), seed=st.integers(0, 100))
def test_any_batches_give_the_two_pass_result_on_all_tokens(sizes, seed):
    pred, target = features(sum(sizes), seed=seed)
    metric = TeacherMatching(DIM)
    for part in zip(pred.split(sizes), target.split(sizes), strict=True):
        metric.update(*part)
    assert_matches(metric.compute(), oracle(pred, target))


@pytest.mark.parametrize("offset", [100.0, 1e4])
def test_a_mean_far_larger_than_the_spread_cancels_nothing(offset):
    pred, target = features(60, offset)
    metric = TeacherMatching(DIM)
    for part in zip(pred.split(7), target.split(7), strict=True):
        metric.update(*part)
    assert_matches(metric.compute(), oracle(pred, target))


def test_predicting_the_mean_of_each_channel_has_fidelity_one():
    _, target = features()
    target = target.double()
    metric = TeacherMatching(DIM)
    metric.update(target.mean(dim=(0, 1, 2)).expand_as(target), target)
    assert_close(metric.compute()["fidelity"].item(), 1.0)


def test_a_perfect_match_has_no_error_cosine_one_and_infinite_fidelity():
    _, target = features()
    metric = TeacherMatching(DIM)
    metric.update(target, target)
    values = metric.compute()
    assert values["mse"] == values["error_variance_range"] == 0
    assert values["fidelity"] == values["fidelity_global"] == torch.inf
    assert_close(values["cosine"].item(), 1.0)


def test_the_two_fidelities_agree_when_all_channel_means_are_equal():
    pred, target = features()
    target = target.double() - target.double().mean(dim=(0, 1, 2))
    metric = TeacherMatching(DIM)
    metric.update(pred, target)
    assert_close(metric.compute()["fidelity"], metric.compute()["fidelity_global"])


def test_the_normalised_space_has_a_range_of_its_own():
    pred, target = features()
    scale = torch.logspace(1, -1, DIM)
    metric = TeacherMatching(DIM)
    metric.update(pred, target, pred_normalized=scale * pred, target_normalized=scale * target)
    normalized = oracle(scale * pred, scale * target)["error_variance_range"]
    assert_matches(metric.compute(), oracle(pred, target) | {"error_variance_range_normalized": normalized}, rtol=1e-6)


def test_reset_forgets_and_forward_returns_the_batch_alone():
    first, second = features(seed=1), features(seed=2)
    metric = TeacherMatching(DIM)
    metric.update(*first)
    assert_matches(metric(*second), oracle(*second))
    both = [torch.cat(pair) for pair in zip(first, second, strict=True)]
    assert_matches(metric.compute(), oracle(*both))
    metric.reset()
    metric.update(*second)
    assert_matches(metric.compute(), oracle(*second))


def test_shapes_that_differ_are_refused(unchecked_shapes):
    pred, target = features()
    with pytest.raises(ValueError, match="same shape"):
        TeacherMatching(DIM).update(pred[:1], target)


def test_another_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="of 4 channels"):
        TeacherMatching(DIM - 1).update(*features())


def test_half_of_the_normalised_pair_is_refused():
    pred, target = features()
    with pytest.raises(ValueError, match="both pred_normalized and target_normalized"):
        TeacherMatching(DIM).update(pred, target, pred_normalized=pred)


def test_a_normalised_space_given_only_sometimes_is_refused():
    pred, target = features()
    metric = TeacherMatching(DIM)
    metric.update(pred, target)
    metric.update(pred, target, pred, target)
    with pytest.raises(ValueError, match="36 of 72 tokens"):
        metric.compute()


def test_no_tokens_are_refused():
    metric = TeacherMatching(DIM)
    metric.update(torch.empty(0, DIM), torch.empty(0, DIM))
    with pytest.raises(ValueError, match="no tokens"):
        metric.compute()


def matching_of_rank(rank: int, folder: str) -> None:
    """One rank's uneven share of the images; the metric must see all of them."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    pred, target = features(7, offset=100.0)
    metric = TeacherMatching(DIM)
    shares = ([0, 1], [2, 3, 4, 5, 6])
    for image in shares[rank]:
        metric.update(pred[image], target[image])
    assert_matches(metric.compute(), oracle(pred, target))
    dist.destroy_process_group()


@pytest.mark.ddp
def test_two_processes_give_the_two_pass_result_on_all_tokens(tmp_path):
    run_ranks(matching_of_rank, str(tmp_path))
