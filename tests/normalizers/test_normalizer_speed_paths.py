"""What is fast must stay exact: wide matrices by either library, casts in place, the identity without a copy."""

import copy

import pytest
import torch
from normalizer_samples import ELEMENTWISE, METHODS, features, moments_of
from torch.testing import assert_close

from phis_lab.linalg.cpu import linear_map

MATRIX = [method for method in METHODS if method not in ELEMENTWISE]
WIDE = 320


def wide_rows(offset: float, count: int = 1100) -> torch.Tensor:
    rows = features(WIDE, count, decay=2.0, offset=0.0).float()
    return rows / rows.std(0) + offset


@pytest.mark.parametrize("onednn", [False, True], ids=["mkl", "onednn"])
@pytest.mark.parametrize("method", MATRIX)
@pytest.mark.parametrize("offset", [0, 100, 1000])
def test_wide_matrices_are_within_float32_far_from_zero_and_round_trip(monkeypatch, onednn, method, offset):
    monkeypatch.setattr(linear_map, "mkl_is_narrow", lambda: onednn)
    rows = wide_rows(offset)
    normalizer = METHODS[method](WIDE).fit(moments_of(rows))
    y = normalizer(rows)
    exact = copy.deepcopy(normalizer).double()(rows.double())
    assert (y - exact).square().mean().sqrt() < 6e-7 * exact.square().mean().sqrt()
    assert_close(normalizer.inverse(y), rows, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("method", MATRIX)
def test_both_libraries_agree_with_each_other(monkeypatch, method):
    rows = wide_rows(10).reshape(11, 10, 10, WIDE)
    normalizer = METHODS[method](WIDE).fit(moments_of(rows))
    forward, inverse = [], []
    for onednn in (False, True):
        monkeypatch.setattr(linear_map, "mkl_is_narrow", lambda onednn=onednn: onednn)
        forward.append(normalizer(rows))
        inverse.append(normalizer.inverse(forward[0]))
    assert_close(*forward, rtol=1e-4, atol=1e-4)
    assert_close(*inverse, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("double", [False, True])
def test_inputs_are_left_as_they_were(method, dtype, double):
    rows = features(12).to(dtype)
    normalizer = METHODS[method](12).fit(moments_of(rows))
    normalizer = normalizer.double() if double else normalizer
    kept = rows.clone()
    normalizer(rows)
    normalizer.inverse(rows)
    assert torch.equal(rows, kept)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_gradients_reach_inputs_of_every_precision(method, dtype):
    rows = features(12)
    normalizer = METHODS[method](12).fit(moments_of(rows))
    x = rows[:5].to(dtype).requires_grad_()
    weight = normalizer.affine()[0]
    normalizer(x).sum().backward()
    assert_close(x.grad, weight.sum(0).to(dtype).expand(5, 12), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_frozen_method_prepares_its_tensors_once(monkeypatch, method):
    rows = features(12).float()
    normalizer = METHODS[method](12).fit(moments_of(rows))
    normalizer(rows)
    monkeypatch.setattr(type(normalizer), "cast", None)
    monkeypatch.setattr(type(normalizer), "solve", None)
    assert torch.equal(normalizer(rows), normalizer(rows))
    normalizer.inverse(rows)


def test_the_identity_makes_no_copy():
    rows = features(12).float()
    identity = METHODS["identity"](12).fit(moments_of(rows))
    assert identity(rows) is rows
    assert identity.inverse(rows) is rows


@pytest.mark.parametrize("method", MATRIX)
def test_the_inverse_map_is_the_inverse_of_the_map(method):
    normalizer = METHODS[method](12).fit(moments_of(features(12)))
    product = normalizer.weight @ normalizer.inverse_weight
    assert_close(product, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-12)


def test_zca_is_exactly_symmetric():
    zca = METHODS["zca_whiten"](140).fit(moments_of(features(140)))
    assert torch.equal(zca.weight, zca.weight.T)
    assert torch.equal(zca.inverse_weight, zca.inverse_weight.T)
