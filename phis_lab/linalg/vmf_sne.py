"""The symmetric vMF-SNE divergence: how far a map is from keeping the cosines between tokens."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize

from phis_lab.guards import require_tensors
from phis_lab.precision import full_float32
from phis_lab.shapes import Float

TEMPERATURES = tuple(hundredths / 100 for hundredths in range(1, 11))
"""TinTeM's ten, from 0.01, where only the nearest token counts, to 0.1."""

_PAIRS_AT_A_TIME = 1 << 22
_OF_ITSELF = -1e20
_SMALLEST_NORM = 1e-8


def vmf_sne(
    source: Float[Tensor, "batch tokens source_dim"],
    mapped: Float[Tensor, "batch tokens mapped_dim"],
    temperatures: Sequence[float | int] = TEMPERATURES,
    images_at_a_time: int | None = None,
) -> Float[Tensor, " batch"]:
    """KL(P || Q) between the neighbourhoods of an image's tokens before and after a map, averaged over temperatures.

    p(j | i) is the softmax over j != i of cos(x_i, x_j) / tau, and P_ij = (p(j | i) + p(i | j)) / (2 tokens), which
    sums to 1 over all pairs; Q is the same of the mapped tokens. It is zero if the map keeps all cosines, whatever
    it does to lengths, and for two tokens, of which each is the other's only neighbour.

    The source is a constant: gradients flow into `mapped` alone, and only once. They are computed along with the
    value, so that no matrix of pairs outlives the images that it is of.

    Args:
        source: of the teacher. For the divergence within a batch, give it one image whose tokens are the summaries.
        mapped: the same tokens after the map. Below float32 both are computed in float32.
        temperatures: every tau; the smaller, the more the nearest neighbours count.
        images_at_a_time: bounds the memory, about ten matrices of all pairs per image, and changes nothing else;
            None takes as many images as have four million pairs.

    Raises:
        ValueError: the tokens do not correspond, there are fewer than two, or a temperature is not positive.

    Source:
        Mannix, Hodgkinson and Bondell, TinTeM / CosPress (arXiv 2411.15239), the loss of the teacher's head.

    Example:
        >>> tokens = torch.eye(3)[None]
        >>> vmf_sne(tokens, 2 * tokens).tolist()
        [0.0]
    """
    _check(source, mapped, temperatures)
    images = images_at_a_time or max(1, _PAIRS_AT_A_TIME // source.shape[1] ** 2)
    dtype = torch.promote_types(torch.promote_types(source.dtype, mapped.dtype), torch.float32)
    directions = [normalize(tokens.to(dtype), dim=-1, eps=_SMALLEST_NORM) for tokens in (source.detach(), mapped)]
    values: Tensor = _Divergence.apply(*directions, tuple(temperatures), images)  # type: ignore[no-untyped-call]
    return values


class _Divergence(Function):
    """The divergence of directions, and its gradient with respect to the mapped ones in closed form."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, temperatures: tuple[float, ...], images: int) -> Tensor:
        """Goes through the images in groups, of which only values and gradients remain."""
        with torch.autocast(x.device.type, enabled=False), full_float32():
            groups = zip(x.split(images), y.split(images), strict=True)
            parts = [_of_images(*group, temperatures, ctx.needs_input_grad[1]) for group in groups]
        values, slopes = zip(*parts, strict=True)
        ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor, None, None]:
        """Scales what `forward` has computed."""
        (slopes,) = ctx.saved_tensors
        return None, upstream[:, None, None] * slopes, None, None


def _of_images(
    x: Tensor, y: Tensor, temperatures: tuple[float, ...], with_slope: bool
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch tokens mapped_dim"]]:
    """Values, and their derivatives by y.

    With a = cos / tau, dKL / da_ij = q(j | i) sum_k r_ik - r_ij, where r_ij = q(j | i) P_ij / (tokens Q_ij).
    """
    count = x.shape[1]
    before, after = (_cosines(tokens) for tokens in (x, y))
    values, slope = x.new_zeros(len(x)), torch.zeros_like(after)
    for temperature in temperatures:
        log_q = (after / temperature).log_softmax(dim=-1)
        log_p = _joint((before / temperature).log_softmax(dim=-1))
        gap = log_p - _joint(log_q)
        values += (log_p.exp() * gap).sum(dim=(1, 2))
        if with_slope:
            pull = (gap.add_(log_q) - math.log(count)).exp_()
            slope += torch.addcmul(-pull, log_q.exp_(), pull.sum(dim=-1, keepdim=True)).div_(temperature)
    slopes = (slope + slope.mT) @ y if with_slope else torch.zeros_like(y)
    return values / len(temperatures), slopes / len(temperatures)


def _cosines(directions: Tensor) -> Float[Tensor, "batch tokens tokens"]:
    """Between all tokens; of a token with itself so low that no softmax sees it."""
    cosines = directions @ directions.mT
    cosines.diagonal(dim1=1, dim2=2).fill_(_OF_ITSELF)
    return cosines


def _joint(log_conditional: Tensor) -> Float[Tensor, "batch tokens tokens"]:
    """Log of the symmetric probabilities of pairs; every conditional sums to 1, so they sum to twice the tokens."""
    return torch.logaddexp(log_conditional, log_conditional.mT) - math.log(2 * log_conditional.shape[-1])


def _check(source: Tensor, mapped: Tensor, temperatures: Sequence[float]) -> None:
    require_tensors(source=source, mapped=mapped)
    if source.ndim != 3 or source.shape[:2] != mapped.shape[:2]:
        raise ValueError(
            "source and mapped must be [batch, tokens, channels] with the same tokens, got "
            f"{tuple(source.shape)} and {tuple(mapped.shape)}"
        )
    if source.shape[1] < 2:
        raise ValueError(f"similarities need two tokens or more in an image, got {source.shape[1]}")
    if not temperatures or not all(t > 0 and math.isfinite(t) for t in temperatures):
        raise ValueError(f"temperatures must be positive and finite, one or more, got {list(temperatures)}")
