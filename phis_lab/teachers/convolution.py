"""Convolutions of frozen networks, each in one step with the batch normalisation and the activation after it."""

from typing import Any, Literal

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from phis_lab.shapes import Float

Activation = Literal["none", "relu", "relu6", "hardswish"]
ONEDNN: dict[Activation, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
    "hardswish": ("hardswish", []),
}


HAS_ONEDNN = torch.backends.mkldnn.is_available()


class FrozenConv(nn.Module):
    """A convolution that never changes again, and the batch normalisation and activation that it absorbed.

    On a CPU convolution and activation are one oneDNN primitive: the map is written once, and the weights are
    brought to oneDNN's layout and to the precision of the surrounding autocast once instead of in every call.
    Elsewhere the two run one after the other. The values are the same to rounding.

    Args:
        conv: the convolution; it becomes part of this module.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv.requires_grad_(False)
        self.activation: Activation = "none"
        self._packed_for: tuple[torch.dtype, torch.Size] | None = None
        self._packed: tuple[Any, ...] = ()

    def absorb(self, follower: nn.Module) -> bool:
        """Takes over what a module does to this convolution's output, or returns False if it cannot.

        A batch normalisation in evaluation mode goes into the weights: W' = W g / sqrt(v + eps),
        b' = (b - m) g / sqrt(v + eps) + beta. An activation that timm keeps inside its normalisation comes along.
        """
        if self.activation != "none":
            return False
        if isinstance(follower, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv.eval(), follower.eval()).requires_grad_(False)
            inner = getattr(follower, "act", nn.Identity())
            return isinstance(inner, nn.Identity) or self.absorb(inner)
        known: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.ReLU6: "relu6", nn.Hardswish: "hardswish"}
        if type(follower) not in known:
            return False
        self.activation = known[type(follower)]
        return True

    def multiply(self, number: float) -> bool:
        """Takes over a factor on the output, or returns False after an activation."""
        if self.activation == "none":
            for parameter in self.conv.parameters():
                parameter.mul_(number)
        return self.activation == "none"

    def add(self, number: float) -> bool:
        """Takes over a number added to the output, or returns False after an activation or without a bias."""
        if self.activation != "none" or self.conv.bias is None:
            return False
        self.conv.bias.add_(number)
        return True

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Convolves and activates, in the precision of the surrounding autocast."""
        if x.device.type != "cpu":
            return self._activate(self.conv(x))
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        if not self._is_fused(x, dtype):
            return self._activate(self.conv(x))
        x = x.to(dtype, memory_format=torch.channels_last)
        if self._packed_for != (dtype, x.shape):
            self._packed, self._packed_for = self._pack(dtype, x.shape), (dtype, x.shape)
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(x, *self._packed, *ONEDNN[self.activation], None)
        return y

    def _is_fused(self, x: Tensor, dtype: torch.dtype) -> bool:
        if not HAS_ONEDNN or torch.is_grad_enabled():
            return False
        if isinstance(self.conv, Conv2dSame) and not halves_evenly(self.conv, x):
            return False
        return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())

    def _pack(self, dtype: torch.dtype, shape: torch.Size) -> tuple[Any, ...]:
        """The arguments of oneDNN's convolution that do not change: weight, bias, padding, stride and so on."""
        conv = self.conv
        weight, padding = symmetric_padding(conv)
        geometry = padding, list(conv.stride), list(conv.dilation), conv.groups
        weight = torch.ops.mkldnn._reorder_convolution_weight(weight.to(dtype), *geometry, list(shape))
        return weight, None if conv.bias is None else conv.bias.to(dtype), *geometry

    def _activate(self, x: Tensor) -> Tensor:
        match self.activation:
            case "none":
                return x
            case "relu":
                return functional.relu(x)
            case "relu6":
                return functional.relu6(x)
            case "hardswish":
                return functional.hardswish(x)


def halves_evenly(conv: nn.Conv2d, x: Float[Tensor, "b c h w"]) -> bool:
    """Whether a convolution with TensorFlow's padding brings an even map to half its size by a kernel of 3, 5, ..."""
    odd = all(size >= 3 and size % 2 for size in conv.kernel_size)
    return conv.stride == (2, 2) and odd and not any(side % 2 for side in x.shape[2:])


def symmetric_padding(conv: nn.Conv2d) -> tuple[Tensor, list[int]]:
    """Returns a weight and a padding, equal on both sides, that do what `conv` does.

    TensorFlow's "same" padding of an even map at stride 2 puts one row and one column more behind the map than
    before it. A kernel with a row and a column of zeros before its own needs them on both sides, and the map need
    not be copied into a larger one.
    """
    if not isinstance(conv, Conv2dSame):
        return conv.weight, [int(side) for side in conv.padding]
    return functional.pad(conv.weight, (1, 0, 1, 0)), [size // 2 for size in conv.kernel_size]


def freeze_convolutions(network: nn.Module) -> nn.Module:
    """Replaces, in place, every convolution and the batch normalisation and activation after it by one step.

    In evaluation mode this is the same function to rounding, at about half the cost for networks of depthwise
    convolutions, whose time goes into reading and writing maps. "After" means registered next in the same module,
    which holds for the pocket networks.
    """
    latest: FrozenConv | None = None
    for name, child in list(network.named_children()):
        if isinstance(child, nn.Conv2d):
            latest = FrozenConv(child)
            network.add_module(name, latest)
        elif latest is not None and latest.absorb(child):
            network.add_module(name, nn.Identity())
        else:
            latest = None
            freeze_convolutions(child)
    return network
