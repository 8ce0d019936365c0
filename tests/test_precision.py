from contextlib import contextmanager

import pytest
import torch

from phis_lab.precision import full_float32, low_products

by_backend = pytest.mark.skipif(
    not hasattr(torch.backends.mkldnn, "matmul"), reason="this torch has one setting for all backends"
)


@contextmanager
def settings_restored():
    """Puts back torch's own settings, by both of its ways."""
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True


@pytest.mark.parametrize("allowed", ["highest", "high", "medium"])
def test_the_precision_of_the_process_is_raised_while_it_lasts(allowed):
    with settings_restored():
        torch.set_float32_matmul_precision(allowed)
        with full_float32():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == allowed


def test_an_error_inside_restores_it_too():
    with settings_restored():
        torch.set_float32_matmul_precision("high")
        with pytest.raises(ZeroDivisionError), full_float32():
            raise ZeroDivisionError
        assert torch.get_float32_matmul_precision() == "high"


@by_backend
def test_precisions_that_were_set_by_backend_are_raised_and_restored():
    cuda, mkldnn = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    with settings_restored():
        cuda.fp32_precision, mkldnn.fp32_precision = "tf32", "bf16"
        with full_float32():
            assert cuda.fp32_precision == mkldnn.fp32_precision == "ieee"
        assert (cuda.fp32_precision, mkldnn.fp32_precision) == ("tf32", "bf16")


def test_medium_does_not_reach_a_product_on_the_cpu():
    x, weight = torch.randn(512, 512), torch.randn(512, 512)
    expected = torch.nn.functional.linear(x, weight)
    with settings_restored():
        torch.set_float32_matmul_precision("medium")
        with full_float32():
            assert torch.equal(torch.nn.functional.linear(x, weight), expected)


def test_convolutions_lose_no_bits_either_where_that_is_asked_for():
    def settings() -> tuple[bool, str]:
        return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()

    with settings_restored():
        torch.set_float32_matmul_precision("high")
        with full_float32():
            assert settings() == (True, "highest")
        with full_float32(convolutions=True):
            assert settings() == (False, "highest")
        assert settings() == (True, "high")


@by_backend
def test_convolutions_whose_precision_was_set_by_backend_are_raised_and_restored():
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = matmul.fp32_precision, conv.fp32_precision
    try:
        matmul.fp32_precision, conv.fp32_precision = "tf32", "tf32"
        with full_float32(convolutions=True):
            assert matmul.fp32_precision == conv.fp32_precision == "ieee"
        assert (matmul.fp32_precision, conv.fp32_precision) == ("tf32", "tf32")
    finally:
        matmul.fp32_precision, conv.fp32_precision = before


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tokens", [5, 17, 197])
def test_attention_on_a_cpu_is_at_least_as_exact_as_that_of_autocast(low, tokens):
    shape = (2, 3, tokens, 16)
    factors = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    exact = torch.nn.functional.scaled_dot_product_attention(*(factor.to(low).double() for factor in factors))
    with torch.autocast("cpu", low):
        of_torch = torch.nn.functional.scaled_dot_product_attention(*factors)
    with low_products("cpu", low):
        ours = torch.nn.functional.scaled_dot_product_attention(*(factor.to(low) for factor in factors))
    assert ours.dtype == of_torch.dtype == low
    assert (ours.double() - exact).norm() <= 1.05 * (of_torch.double() - exact).norm()
    assert (ours.double() - exact).abs().max() <= torch.finfo(low).eps * exact.abs().max()


def test_attention_in_low_precision_keeps_its_mask():
    query = torch.randn(1, 2, 4, 8)
    mask = torch.zeros(4, 4).index_fill(1, torch.tensor([3]), -torch.inf)
    with low_products("cpu", torch.bfloat16):
        masked = torch.nn.functional.scaled_dot_product_attention(*[query.bfloat16()] * 3, attn_mask=mask.bfloat16())
        alone = torch.nn.functional.scaled_dot_product_attention(query.bfloat16(), *[query[:, :, :3].bfloat16()] * 2)
        by_place = torch.nn.functional.scaled_dot_product_attention(*[query.bfloat16()] * 3, mask.bfloat16())
    assert torch.equal(masked, by_place)
    torch.testing.assert_close(masked, alone, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [(4, 4), (2, 8)])
def test_a_convolution_of_patches_in_low_precision_is_that_of_torch_with_its_gradients(kernel, bias):
    layer = torch.nn.Conv2d(3, 6, kernel, kernel, bias=bias)
    images = torch.randn(2, 3, 16, 24)
    results = []
    for surroundings in (low_products("cpu", torch.bfloat16), torch.autocast("cpu", torch.bfloat16)):
        own = images.clone().requires_grad_()
        layer.zero_grad()
        with surroundings:
            result = layer(own)
        result.float().square().sum().backward()
        results.append([result.float(), own.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).norm() <= 0.01 * theirs.norm()


@pytest.mark.parametrize("side", [16, 18])
@pytest.mark.parametrize(
    "options",
    [{"stride": 2}, {"stride": 4, "padding": 2}, {"stride": 4, "groups": 3}, {"stride": 4, "dilation": 2}],
    ids=str,
)
def test_other_convolutions_stay_those_of_torch(options, side):
    layer, images = torch.nn.Conv2d(3, 6, 4, **options), torch.randn(2, 3, side, side)
    with low_products("cpu", torch.bfloat16):
        ours = layer(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours, layer(images))


def test_patches_that_leave_pixels_over_stay_with_torch():
    layer, images = torch.nn.Conv2d(3, 6, 4, 4), torch.randn(2, 3, 18, 18)
    with low_products("cpu", torch.bfloat16):
        assert layer(images).shape == (2, 6, 4, 4)


def test_factors_of_a_convolution_may_be_given_by_name():
    layer, images = torch.nn.Conv2d(3, 6, 4, 4), torch.randn(2, 3, 16, 16)
    with low_products("cpu", torch.bfloat16):
        named = torch.nn.functional.conv2d(input=images, weight=layer.weight, bias=layer.bias, stride=4)
        assert torch.equal(named, layer(images))


def test_without_a_low_precision_nothing_changes():
    layer, images = torch.nn.Conv2d(3, 6, 4, 4), torch.randn(2, 3, 16, 16)
    with low_products("cpu", None):
        inside = layer(images)
    assert torch.equal(inside, layer(images))
