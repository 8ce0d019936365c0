"""One product, two libraries: both must give what float64 gives, to the rounding of float32."""

import pytest
import torch
from torch.nn import functional

from phis_lab.linalg.cpu import linear_map, precise_linear

libraries = pytest.mark.parametrize("onednn", [False, True], ids=["mkl", "onednn"])


def choose(monkeypatch, onednn: bool) -> list[int]:
    """Forces a library; the list gets one entry per call of oneDNN's convolution."""
    calls: list[int] = []
    conv2d = functional.conv2d

    def counted(*arguments, **options):
        calls.append(1)
        return conv2d(*arguments, **options)

    monkeypatch.setattr(linear_map, "mkl_is_narrow", lambda: onednn)
    monkeypatch.setattr(functional, "conv2d", counted)
    return calls


def factors(rows: int, inputs: int, outputs: int, dtype=torch.float32) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((rows, inputs), (outputs, inputs), (outputs,), (inputs,))
    return tuple(torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)


def exact(x, weight, bias=None, shift=None) -> torch.Tensor:
    x = x.double() if shift is None else x.double() - shift.double()
    return functional.linear(x, weight.double(), None if bias is None else bias.double())


@libraries
@pytest.mark.parametrize("shape", [(256, 256, 256), (300, 1280, 257), (2500, 385, 300)])
@pytest.mark.parametrize(("biased", "shifted"), [(True, True), (False, False), (True, False), (False, True)])
def test_the_product_is_that_of_float64(monkeypatch, onednn, shape, biased, shifted):
    calls = choose(monkeypatch, onednn)
    x, weight, bias, shift = factors(*shape)
    terms = bias if biased else None, shift if shifted else None
    expected = exact(x, weight, *terms)
    error = precise_linear(x, weight, *terms).double() - expected
    assert error.square().mean().sqrt() < 4e-7 * expected.square().mean().sqrt()
    assert bool(calls) == onednn


def test_shares_of_the_inputs_make_onednn_as_exact_as_the_linear_layer(monkeypatch):
    x, weight, *_ = factors(1024, 1280, 256)
    expected = exact(x, weight)

    def error() -> float:
        return (precise_linear(x, weight).double() - expected).square().mean().sqrt().item()

    choose(monkeypatch, onednn=True)
    by_shares = error()
    monkeypatch.setattr(linear_map, "SHARE", 1280)
    assert by_shares < 0.7 * error()


@libraries
@pytest.mark.parametrize("leading", [(7, 1, 64), (448,), (2, 224)])
def test_any_leading_axes_are_allowed(monkeypatch, onednn, leading):
    choose(monkeypatch, onednn)
    x, weight, bias, shift = factors(448, 256, 320)
    expected = precise_linear(x, weight, bias, shift)
    result = precise_linear(x.reshape(*leading, 256), weight, bias, shift)
    assert torch.equal(result, expected.reshape(*leading, 320))
    strided = x.T.contiguous().T
    assert torch.equal(precise_linear(strided, weight.T.contiguous().T, bias, shift), expected)


@libraries
def test_the_factors_are_left_alone(monkeypatch, onednn):
    choose(monkeypatch, onednn)
    given = factors(1500, 256, 256)
    kept = [factor.clone() for factor in given]
    precise_linear(*given)
    assert all(torch.equal(factor, before) for factor, before in zip(given, kept, strict=True))


@libraries
def test_autocast_does_not_lower_the_precision(monkeypatch, onednn):
    choose(monkeypatch, onednn)
    given = factors(256, 256, 256)
    expected = precise_linear(*given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(precise_linear(*given), expected)


@pytest.mark.parametrize("differentiable", range(4))
def test_a_product_that_needs_gradients_is_the_linear_layers(monkeypatch, differentiable):
    calls = choose(monkeypatch, onednn=True)
    given = factors(256, 256, 256)
    wanted = given[differentiable].requires_grad_()
    precise_linear(*given).square().sum().backward()
    assert not calls
    gradient = wanted.grad
    wanted.grad = None
    exact(*given).square().sum().backward()
    torch.testing.assert_close(gradient, wanted.grad, rtol=1e-3, atol=1e-1)
    with torch.no_grad():
        precise_linear(*given)
    assert calls


@pytest.mark.parametrize("shape", [(255, 256, 256), (256, 255, 256), (256, 256, 255), (256, 256, 4097), (0, 256, 256)])
def test_a_product_too_small_or_too_wide_to_cut_up_is_the_linear_layers(monkeypatch, shape):
    calls = choose(monkeypatch, onednn=True)
    x, weight, bias, shift = factors(*shape)
    assert torch.equal(precise_linear(x, weight, bias, shift), functional.linear(x - shift, weight, bias))
    assert not calls


def test_float64_is_the_linear_layers(monkeypatch):
    calls = choose(monkeypatch, onednn=True)
    given = factors(256, 256, 256, torch.float64)
    assert torch.equal(precise_linear(*given), exact(*given))
    assert not calls
