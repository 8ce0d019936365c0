"""Spectral reparametrisation: linear weights whose largest singular value is a parameter."""

from collections.abc import Iterator
from typing import TypeVar

import torch
from timm.layers import GluMlp
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus
from torch.nn.utils import parametrize

from phis_lab.shapes import Float

SMALLEST_GAMMA = 0.05

_M = TypeVar("_M", bound=nn.Module)


class SpectralReparametrization(nn.Module):
    """W_hat = gamma / sigma(W) * W for each part of a weight, where sigma is the largest singular value.

    The largest singular value of what the layer computes with is gamma, so attention logits cannot grow sharp while
    weights grow. gamma = softplus(scale) + 0.05 begins at sigma(W): the function is unchanged at the start. `scale`
    is a matrix, so that weight decay, which leaves vectors alone, draws it to zero and gamma to 0.74.

    sigma = u^T W v comes from one power iteration in each training-mode forward pass, begun at the exact singular
    vectors; in evaluation mode u and v stand still. All is computed in float32, also under autocast. Inside
    `torch.nn.utils.parametrize.cached()` a weight that is used several times is computed once.

    Args:
        weight: of the layer at the start, its parts stacked along the first axis.
        parts: how many matrices of equal size the weight holds, such as 3 for a fused query, key and value.

    Raises:
        ValueError: the rows do not divide into parts, or a part's sigma is no more than 0.05.

    Source:
        Zhai et al. 2023, "Stabilizing Transformer Training by Preventing Attention Entropy Collapse", eq. 4;
        PHI-S, A.7, decays gamma.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Float[Tensor, "rows columns"], parts: int = 1) -> None:
        super().__init__()
        if weight.shape[0] % parts:
            raise ValueError(f"a weight of {parts} parts needs a multiple of as many rows, got {weight.shape[0]}")
        u, sigma, v = _leading_triple(weight.detach().double().unflatten(0, (parts, -1)))
        if not bool((sigma > SMALLEST_GAMMA).all()):
            raise ValueError(
                f"the largest singular value of each part must be above {SMALLEST_GAMMA}, got {sigma.min():.3g}; "
                "spectral reparametrisation needs weights that do not start at zero or close to it"
            )
        gamma = sigma - SMALLEST_GAMMA
        self.scale = nn.Parameter((gamma + torch.log(-torch.expm1(-gamma))).to(weight.dtype))
        self.register_buffer("u", u.to(weight.dtype))
        self.register_buffer("v", v.to(weight.dtype))

    @property
    def gamma(self) -> Float[Tensor, "parts 1"]:
        """The largest singular value of each part of W_hat."""
        return softplus(self.scale) + SMALLEST_GAMMA

    def forward(self, weight: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """W_hat of the trained W."""
        with torch.autocast(weight.device.type, enabled=False):
            parts = weight.to(torch.promote_types(weight.dtype, torch.float32)).unflatten(0, (len(self.scale), -1))
            if self.training:
                self._iterate(parts.detach())
            u, v = (vector.to(parts.dtype, copy=True) for vector in (self.u, self.v))  # the next pass changes them
            sigma = (_times(parts.mT, u) * v).sum(dim=1, keepdim=True)
            factor = (self.gamma.to(parts.dtype) / sigma)[..., None]
            effective: Tensor = (factor * parts).flatten(0, 1).to(weight.dtype)
            return effective

    @torch.no_grad()
    def _iterate(self, parts: Tensor) -> None:
        v = normalize(_times(parts.mT, self.u.to(parts.dtype)), dim=1)
        self.v.copy_(v)
        self.u.copy_(normalize(_times(parts, v), dim=1))


def reparametrize(module: _M) -> _M:
    """Reparametrises, in place, the blocks of a vision transformer, or every linear layer of another module.

    `qkv` of attention has three parts and the fused input of a gated MLP two. Weights that training should
    start from must be loaded before.

    Raises:
        ValueError: there is no linear layer, or it is reparametrised already.
    """
    layers = list(_linear_layers(module.blocks if isinstance(module, VisionTransformer) else module))
    if not layers:
        raise ValueError(f"spectral reparametrisation needs linear layers, and {type(module).__name__} has none")
    for layer, parts in layers:
        if parametrize.is_parametrized(layer):
            raise ValueError(f"{type(module).__name__} has linear layers that are parametrised already")
        parametrize.register_parametrization(layer, "weight", SpectralReparametrization(layer.weight, parts))
    return module


def remove(module: _M) -> _M:
    """Puts plain weights, in place, where `reparametrize` was at work; in evaluation mode the function is the same."""
    for layer, _ in list(_linear_layers(module)):
        if parametrize.is_parametrized(layer, "weight"):
            layer.parametrizations.eval()  # type: ignore[union-attr]
            _take_class_of_its_own(layer)
            parametrize.remove_parametrizations(layer, "weight")
    return module


def _take_class_of_its_own(layer: nn.Linear) -> None:
    """Torch keeps the weight as a property of a class that deep copies share, and would remove it from there."""
    shared = type(layer)
    members = {name: value for name, value in vars(shared).items() if name not in ("__dict__", "__weakref__")}
    layer.__class__ = type(shared.__name__, shared.__bases__, members)


def _linear_layers(module: nn.Module) -> Iterator[tuple[nn.Linear, int]]:
    """The linear layers, each with the number of matrices that its weight stacks."""
    parents = dict(module.named_modules())
    for name, layer in parents.items():
        if isinstance(layer, nn.Linear):
            above, _, own = name.rpartition(".")
            gated = isinstance(parents[above], GluMlp) and own == "fc1"
            yield layer, 3 if own == "qkv" else 2 if gated else 1


def _leading_triple(parts: Float[Tensor, "parts rows columns"]) -> tuple[Tensor, Tensor, Tensor]:
    """Left singular vectors, values [parts, 1] and right vectors of the largest singular value, exactly."""
    wide = parts.shape[1] <= parts.shape[2]
    matrices = parts if wide else parts.mT
    values, vectors = torch.linalg.eigh(matrices @ matrices.mT)
    near, sigma = vectors[..., -1], values[:, -1:].clamp(min=0).sqrt()
    far = normalize(_times(matrices.mT, near), dim=1)
    return (near, sigma, far) if wide else (far, sigma, near)


def _times(matrices: Float[Tensor, "parts m n"], vectors: Float[Tensor, "parts n"]) -> Float[Tensor, "parts m"]:
    """Matrices times vectors; as rows from the left, which torch's batched product does ten times faster on a CPU."""
    return (vectors[:, None, :] @ matrices.mT).squeeze(1)
