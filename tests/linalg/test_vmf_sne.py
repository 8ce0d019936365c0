"""The vMF-SNE divergence against loops, by hand, and what it must not depend on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from phis_lab.linalg import random_rotation
from phis_lab.linalg.vmf_sne import TEMPERATURES
from phis_lab.losses import functional, vmf_sne

seeds = st.integers(0, 1000)
counts = st.integers(2, 7)


def tokens(channels, count=5, images=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, count, channels, generator=generator, dtype=torch.float64).to(dtype)


def joint(rows: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities of pairs of one image, pair by pair."""
    count = len(rows)
    conditional = np.zeros((count, count))
    for i in range(count):
        weights = np.zeros(count)
        for j in range(count):
            if j != i:
                cosine = rows[i] @ rows[j] / (np.linalg.norm(rows[i]) * np.linalg.norm(rows[j]))
                weights[j] = math.exp(cosine / temperature)
        conditional[i] = weights / weights.sum()
    pairs = conditional + conditional.T
    return pairs / pairs.sum()


def of_an_image(source: np.ndarray, mapped: np.ndarray, temperatures) -> float:
    total = 0.0
    for temperature in temperatures:
        p, q = joint(source, temperature), joint(mapped, temperature)
        for i in range(len(p)):
            for j in range(len(p)):
                if i != j and p[i, j] > 0:
                    total += p[i, j] * math.log(p[i, j] / q[i, j])
    return total / len(temperatures)


def by_autograd(source, mapped, temperatures):
    """The same with torch's own derivatives."""
    itself = torch.eye(source.shape[1], dtype=torch.bool)

    def pairs(rows, temperature):
        rows = rows / rows.norm(dim=-1, keepdim=True)
        conditional = (rows @ rows.mT / temperature).masked_fill(itself, -torch.inf).softmax(dim=-1)
        return (conditional + conditional.mT)[:, ~itself] / (2 * rows.shape[1])

    terms = [(pairs(source, t), pairs(mapped, t)) for t in temperatures]
    return sum((p * (p / q).log()).sum(dim=1) for p, q in terms) / len(terms)


@given(seed=seeds, count=counts)
def test_every_image_has_the_value_of_the_loops_over_pairs(seed, count):
    source, mapped = tokens(6, count, seed=seed), tokens(4, count, seed=seed + 1)
    expected = [of_an_image(x.numpy(), y.numpy(), TEMPERATURES) for x, y in zip(source, mapped, strict=True)]
    assert_close(vmf_sne(source, mapped, TEMPERATURES), torch.tensor(expected), rtol=1e-9, atol=1e-9)
    single = vmf_sne(source.float(), mapped.float(), TEMPERATURES)
    assert single.dtype == torch.float32
    assert_close(single, torch.tensor(expected).float(), rtol=1e-5, atol=1e-5)


def test_three_tokens_worked_out_by_hand():
    source = torch.tensor([[[1.0, 0.0], [0.0, 3.0], [-2.0, 0.0]]])
    mapped = torch.tensor([[[1.0, 1.0], [2.0, 2.0], [0.0, 5.0]]])
    e = math.exp
    # cosines before: 0 for (1, 2) and (2, 3), -1 for (1, 3); after: 1 for (1, 2) and sqrt(1/2) for the others
    near, far = 1 / (1 + e(-1)), e(-1) / (1 + e(-1))
    p12, p13, p23 = (near + 0.5) / 6, 2 * far / 6, (near + 0.5) / 6
    close, apart = e(1) / (e(1) + e(0.5**0.5)), e(0.5**0.5) / (e(1) + e(0.5**0.5))
    q12, q13, q23 = 2 * close / 6, (apart + 0.5) / 6, (apart + 0.5) / 6
    expected = 2 * (p12 * math.log(p12 / q12) + p13 * math.log(p13 / q13) + p23 * math.log(p23 / q23))
    assert_close(vmf_sne(source, mapped, [1.0]), torch.tensor([expected]), rtol=0, atol=1e-6)


def test_the_ten_temperatures_are_those_of_the_paper():
    assert TEMPERATURES == (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1)
    source, mapped = tokens(6), tokens(4, seed=1)
    assert torch.equal(vmf_sne(source, mapped), vmf_sne(source, mapped, list(TEMPERATURES)))
    each = torch.stack([vmf_sne(source, mapped, [t]) for t in TEMPERATURES])
    assert_close(vmf_sne(source, mapped), each.mean(dim=0))


@given(seed=seeds, count=counts)
def test_a_map_that_keeps_cosines_costs_nothing_whatever_it_does_to_lengths(seed, count):
    source = tokens(6, count, seed=seed)
    lengths = 0.1 + torch.rand(3, count, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert_close(vmf_sne(source, lengths * source @ random_rotation(6, seed)), torch.zeros(3).double())


@given(seed=seeds, count=counts)
def test_it_is_not_negative_and_does_not_depend_on_the_order_of_tokens(seed, count):
    source, mapped = tokens(6, count, seed=seed), tokens(4, count, seed=seed + 1)
    value = vmf_sne(source, mapped)
    assert (value >= -1e-12).all()
    assert_close(vmf_sne(source.flip(1), mapped.flip(1)), value)


def test_of_two_tokens_each_is_the_others_only_neighbour():
    mapped = tokens(4, 2, seed=1, dtype=torch.float32).requires_grad_()
    value = vmf_sne(tokens(6, 2, dtype=torch.float32), mapped)
    assert_close(value, torch.zeros(3), rtol=0, atol=1e-6)
    assert_close(torch.autograd.grad(value.sum(), mapped)[0], torch.zeros(3, 2, 4), rtol=0, atol=1e-5)


@given(seed=seeds, count=counts)
def test_the_gradient_is_that_of_the_formula(seed, count):
    source, mapped = tokens(6, count, seed=seed), tokens(4, count, seed=seed + 1).requires_grad_()
    upstream = torch.rand(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    ours, theirs = (
        torch.autograd.grad(loss(source, mapped, [0.1, 0.3]), mapped, upstream)[0] for loss in (vmf_sne, by_autograd)
    )
    assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_the_gradient_is_that_of_differences():
    source, mapped = tokens(6), tokens(4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: vmf_sne(source, y, [0.05, 0.1]), mapped)


def test_the_source_is_a_constant():
    source, mapped = tokens(6).requires_grad_(), tokens(4, seed=1).requires_grad_()
    vmf_sne(source, mapped).sum().backward()
    assert source.grad is None
    assert mapped.grad.abs().sum() > 0
    assert not vmf_sne(source, mapped.detach()).requires_grad


@pytest.mark.parametrize("images", [1, 2, 5, 100])
def test_images_in_groups_are_images_together(images):
    source, mapped = tokens(6, images=5), tokens(4, images=5, seed=1).requires_grad_()
    together, apart = (vmf_sne(source, mapped, images_at_a_time=n) for n in (5, images))
    assert_close(apart, together)
    assert_close(*(torch.autograd.grad(value.sum(), mapped)[0] for value in (apart, together)))


def test_no_matrix_of_pairs_is_kept_for_the_backward_pass():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        vmf_sne(tokens(3, 50), tokens(2, 50, seed=1).requires_grad_())
    assert kept
    assert max(kept) <= 3 * 50 * 3


@pytest.mark.parametrize("case", ["equal", "opposite", "zero"])
def test_extreme_tokens_at_the_lowest_temperature_have_finite_values_and_gradients(case):
    source = tokens(6, dtype=torch.float32)
    mapped = {"equal": torch.ones(3, 5, 4), "opposite": tokens(4, dtype=torch.float32), "zero": torch.zeros(3, 5, 4)}[
        case
    ].clone()
    if case == "opposite":
        mapped[:, 1] = -mapped[:, 0]
        source[:, 1] = source[:, 0]
    value = vmf_sne(source, mapped.requires_grad_(), [0.01])
    assert value.isfinite().all()
    assert torch.autograd.grad(value.sum(), mapped)[0].isfinite().all()


def test_at_the_lowest_temperature_it_is_right_where_probabilities_vanish():
    source, mapped = tokens(2, dtype=torch.float32), tokens(2, seed=1, dtype=torch.float32)
    mapped[:, 1], source[:, 1] = -mapped[:, 0], source[:, 0]
    expected = by_autograd(source.double(), mapped.double(), [0.01]).float()
    assert (expected > 5).all()
    assert_close(vmf_sne(source, mapped, [0.01]), expected, rtol=1e-5, atol=1e-5)


def test_low_precision_is_computed_in_float32_under_autocast_too():
    source, mapped = tokens(6, dtype=torch.bfloat16), tokens(4, seed=1, dtype=torch.bfloat16)
    expected = vmf_sne(source.float(), mapped.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(vmf_sne(source, mapped), expected)


def test_the_function_has_the_names_that_it_is_looked_for_under():
    assert functional.vmf_sne is vmf_sne


@pytest.mark.parametrize("temperatures", [[], [0.1, 0.0], [-0.1], [float("nan")], [float("inf")]])
def test_temperatures_that_are_none_are_refused(temperatures):
    with pytest.raises(ValueError, match="temperatures must be positive and finite"):
        vmf_sne(tokens(6), tokens(4), temperatures)


def test_one_token_alone_is_refused():
    with pytest.raises(ValueError, match="two tokens or more in an image, got 1"):
        vmf_sne(tokens(6, 1), tokens(4, 1))


def test_tokens_that_do_not_correspond_are_refused(unchecked_shapes):
    for other in (tokens(4, 6), tokens(4, images=2), tokens(4)[0]):
        with pytest.raises(ValueError, match="with the same tokens, got"):
            vmf_sne(tokens(6), other)
