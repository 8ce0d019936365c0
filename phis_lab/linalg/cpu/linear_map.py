"""y = W (x - shift) + b in the full precision of its factors, by the fastest product that torch offers."""

import torch
from torch import Tensor
from torch.nn import functional

from phis_lab.guards import require_tensors
from phis_lab.linalg.cpu.matrices import mkl_is_narrow
from phis_lab.precision import full_float32
from phis_lab.shapes import Float

BLOCK_ROWS = 1024
SHARE = 192
SMALLEST_SIDE = 256
MOST_OUTPUTS = 4096


def precise_linear(
    x: Float[Tensor, "*rows inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, "outputs"] | None = None,
    shift: Float[Tensor, "inputs"] | None = None,
) -> Float[Tensor, "*rows outputs"]:
    """W (x - shift) + b, at the precision of its factors under autocast and where TF32 is allowed too.

    It is torch's linear layer, but on AMD processors with AVX-512, where MKL does without those instructions,
    large float32 products that need no gradient are oneDNN's: as exact, in little more than half of the time.

    Args:
        x: rows, with the inputs last.
        weight: W.
        bias: b; none if left out.
        shift: what is subtracted from each row before W could amplify the rounding of a large mean; nothing
            if left out.

    Example:
        >>> x, weight = torch.tensor([[3.0, 5.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> precise_linear(x, weight, shift=torch.tensor([1.0, 1.0])).tolist()
        [[4.0, 4.0]]
    """
    require_tensors(x=x, weight=weight, bias=bias, shift=shift)
    with torch.autocast(x.device.type, enabled=False), full_float32():
        if mkl_is_narrow() and _suits_onednn(x, weight, bias, shift):
            rows = _by_onednn(x.reshape(-1, x.shape[-1]).contiguous(), weight, bias, shift)
            return rows.reshape(*x.shape[:-1], len(weight))
        return functional.linear(x if shift is None else x - shift, weight, bias)


def _suits_onednn(x: Tensor, weight: Tensor, *terms: Tensor | None) -> bool:
    """Whether a product is float32, without gradient, and of a size that pays for cutting it up."""
    tensors = [x, weight, *(term for term in terms if term is not None)]
    outputs, inputs = weight.shape
    return (
        min(x.numel() // max(inputs, 1), inputs, outputs) >= SMALLEST_SIDE
        and outputs <= MOST_OUTPUTS
        and torch.backends.mkldnn.is_available()
        and all(tensor.is_cpu and tensor.dtype == torch.float32 for tensor in tensors)
        and not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))
    )


def _by_onednn(
    rows: Float[Tensor, "rows inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, "outputs"] | None,
    shift: Float[Tensor, "inputs"] | None,
) -> Float[Tensor, "rows outputs"]:
    """The product in blocks of rows, whose terms stay in the cache, and in shares of the inputs.

    oneDNN adds up all inputs one after the other, which over 1280 is two to three times less exact than MKL's
    sums of sums over 192; shares of at most that size make it as exact.
    """
    parts = -(-rows.shape[1] // SHARE)
    factors = [factor.contiguous() for factor in weight.tensor_split(parts, 1)]
    shifts = [None] * parts if shift is None else shift.tensor_split(parts)

    def product(block: Tensor) -> Tensor:
        total = None
        for share, factor, typical in zip(block.tensor_split(parts, 1), factors, shifts, strict=True):
            part = share.contiguous() if typical is None else share - typical
            total = _pointwise(part, factor, bias) if total is None else total.add_(_pointwise(part, factor, None))
        assert total is not None
        return total

    if len(rows) <= BLOCK_ROWS:
        return product(rows)
    out = rows.new_empty(len(rows), len(weight))
    for block, target in zip(rows.split(BLOCK_ROWS), out.split(BLOCK_ROWS), strict=True):
        target.copy_(product(block))
    return out


def _pointwise(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A product as a convolution with a kernel of one pixel, torch's only public way to oneDNN in float32.

    A dilation means nothing to one pixel, but with it torch asks oneDNN on a single thread too.
    """
    image = rows.reshape(1, len(rows), 1, -1).permute(0, 3, 1, 2)
    product = functional.conv2d(image, weight[:, :, None, None], bias, dilation=2)
    return product.permute(0, 2, 3, 1).reshape(len(rows), len(weight))
