"""y = W (x - shift) + b with factors that are sums of two bfloat16 numbers, for devices that multiply those fastest."""

import torch
from torch import Tensor

from phis_lab.guards import require_tensors
from phis_lab.linalg.cpu import precise_linear
from phis_lab.shapes import Float


def split_linear(
    x: Float[Tensor, "*rows inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, "outputs"] | None = None,
    shift: Float[Tensor, "inputs"] | None = None,
) -> Float[Tensor, "*rows outputs"]:
    """W (x - shift) + b by one bfloat16 product of three times the length, added up in float32.

    Each factor is h + l, its bfloat16 value and that of the rest, which leaves at most 2^-18 of it; then
    W x = Wh xh + Wl xh + Wh xl + what is left out. So an output is off by at most 3 * 2^-18 (about 1e-5) of
    sum |W_ij| |x_j|, besides the rounding of float32 sums; errors of both signs cancel, and where W is a
    scaled rotation about 4e-6 of a standard deviation is left. Float64 factors take `precise_linear`.

    On a CPU the same product is computed in float32, three times as long: for rehearsals.

    Args:
        x: rows, with the inputs last.
        weight: W.
        bias: b; none if left out.
        shift: what is subtracted from each row first, in the precision of x; nothing if left out.

    Example:
        >>> x, weight = torch.tensor([[3.0, 5.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> split_linear(x, weight, shift=torch.tensor([1.0, 1.0])).tolist()
        [[4.0, 4.0]]
    """
    require_tensors(x=x, weight=weight, bias=bias, shift=shift)
    if x.dtype != torch.float32 or weight.dtype != torch.float32:
        return precise_linear(x, weight, bias, shift)
    high, low = _halves(x if shift is None else x - shift)
    weight_high, weight_low = _halves(weight)
    rows = torch.cat([high, high, low], -1)
    factor = torch.cat([weight_high, weight_low, weight_high], -1)
    if not x.is_cuda:
        return precise_linear(rows.float(), factor.float(), bias)
    with torch.autocast("cuda", enabled=False):
        product = torch.mm(rows.reshape(-1, rows.shape[-1]), factor.T, out_dtype=torch.float32)
    product = product.reshape(*x.shape[:-1], len(weight))
    return product if bias is None else product.add_(bias)


def _halves(x: Float[Tensor, "*any"]) -> tuple[Tensor, Tensor]:
    high = x.bfloat16()
    return high, (x - high.float()).bfloat16()
