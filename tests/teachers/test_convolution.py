"""A convolution with what follows it does what the two did."""

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, nn
from torch.testing import assert_close

from phis_lab.seeds import fixed_seed
from phis_lab.teachers.convolution import FrozenConv, freeze_convolutions

ACTIVATIONS = [nn.Identity, nn.ReLU, nn.ReLU6, nn.Hardswish]


def trained_norm(channels: int) -> nn.BatchNorm2d:
    """A batch normalisation that is not the identity."""
    norm = nn.BatchNorm2d(channels).eval()
    for tensor in (norm.weight, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 2.0)
    for tensor in (norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    return norm


@settings(max_examples=40)
@given(
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    depthwise=st.booleans(),
    same=st.booleans(),
    norm=st.booleans(),
    bias=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
    size=st.integers(6, 13),
    seed=st.integers(0, 99),
)
def test_it_equals_the_layers_one_after_the_other_in_float64(
    kernel: int,
    stride: int,
    depthwise: bool,
    same: bool,
    norm: bool,
    bias: bool,
    activation: type,
    size: int,
    seed: int,
) -> None:
    with fixed_seed(seed):
        kind, padding = (Conv2dSame, 0) if same else (nn.Conv2d, kernel // 2)
        conv = kind(8, 8 if depthwise else 12, kernel, stride, padding, groups=8 if depthwise else 1, bias=bias)
        layers = [conv, *([trained_norm(conv.out_channels)] if norm else []), activation()]
        x = torch.randn(2, 8, size, size) * 3
    with torch.no_grad():
        expected = nn.Sequential(*layers).double()(x.double()).float()
        frozen = FrozenConv(conv.float())
        assert all(frozen.absorb(layer.float()) for layer in layers[1:] if not isinstance(layer, nn.Identity))
        assert_close(frozen(x), expected, rtol=1e-4, atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = frozen(x)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - expected).square().mean() < 1e-4 * expected.square().mean() + 1e-6


@pytest.mark.parametrize("activation", ACTIVATIONS[1:])
@pytest.mark.parametrize("conv", [nn.Conv2d(3, 4, 3, 2, 1), Conv2dSame(3, 4, 3, 2)])
def test_a_device_without_onednn_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, conv: nn.Conv2d, activation: type
) -> None:
    frozen, x = FrozenConv(conv), torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    frozen.absorb(activation())
    with torch.no_grad():
        fused = frozen(x)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        assert_close(frozen(x), fused, rtol=1e-5, atol=1e-5)


def test_other_images_and_another_precision_take_other_weights() -> None:
    frozen = FrozenConv(nn.Conv2d(3, 4, 3))
    x, y = torch.rand(2, 3, 8, 8), torch.rand(5, 3, 9, 6)
    with torch.no_grad():
        before = frozen(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert frozen(y).dtype == torch.bfloat16
        assert_close(frozen(y), frozen.conv(y))
        assert torch.equal(frozen(x), before)


def test_a_number_goes_into_the_weights_unless_an_activation_is_in_between() -> None:
    frozen, x = FrozenConv(nn.Conv2d(3, 4, 3)), torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        before = frozen.conv(x)
        assert frozen.multiply(-0.5)
        assert frozen.add(2.0)
        assert_close(frozen(x), before * -0.5 + 2.0)
        assert frozen.absorb(nn.ReLU())
        assert not any([frozen.multiply(3.0), frozen.add(1.0), frozen.absorb(nn.ReLU()), frozen.absorb(nn.GELU())])
        assert_close(frozen(x), (before * -0.5 + 2.0).relu())
        assert not FrozenConv(nn.Conv2d(3, 4, 3, bias=False)).add(1.0)


def test_an_activation_inside_a_normalisation_comes_along() -> None:
    frozen = FrozenConv(nn.Conv2d(3, 4, 3))
    assert frozen.absorb(BatchNormAct2d(4, act_layer=nn.ReLU6))
    assert frozen.activation == "relu6"


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv2_100"])
def test_a_frozen_network_is_the_same_function_in_fewer_layers(name: str, photos: Tensor) -> None:
    with fixed_seed():
        network = timm.create_model(name).train()
    with torch.no_grad():
        network(photos)
        expected = network.eval().forward_features(photos)
        frozen = freeze_convolutions(network)
        assert not any(isinstance(module, nn.BatchNorm2d | nn.ReLU | nn.ReLU6) for module in frozen.modules())
        assert_close(frozen.forward_features(photos), expected, rtol=1e-3, atol=1e-3)


def test_a_layer_that_does_not_follow_a_convolution_stays() -> None:
    inner = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
    frozen = freeze_convolutions(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.ReLU(), inner))
    assert [type(module) for module in frozen] == [FrozenConv, nn.AvgPool2d, nn.ReLU, nn.Sequential]
    assert [type(module) for module in frozen[3]] == [FrozenConv, nn.Identity]
