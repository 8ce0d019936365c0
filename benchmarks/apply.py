"""Applying a fitted normaliser: one pass over memory for each channel by itself, one product for a full matrix."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import linear

from benchmarks.harness import Comparison, in_turns
from phis_lab.linalg import Moments
from phis_lab.normalizers import GlobalStandardize, Identity, Normalizer, PhiS, Standardize, ZCAWhiten

SHAPES = ((64, 4, 4, 1280), (1024, 1280), (16_384, 1280))
PRODUCTS = ((PhiS, 1024, 768), (PhiS, 1024, 1280), (ZCAWhiten, 1024, 1536), (PhiS, 16_384, 1280))
BYTES_PER_CALL = 2**26


def run() -> Iterator[Comparison]:
    """Small inputs are mapped several times per measurement."""
    for shape in SHAPES:
        for method in (GlobalStandardize, Standardize):
            yield _elementwise(method(shape[-1]), torch.randn(shape) + 10)
    yield _elementwise(Standardize(1280), torch.randn(SHAPES[1]).bfloat16() + 10)
    yield _elementwise(Identity(1280), torch.randn(SHAPES[1]))
    for family, rows, dim in PRODUCTS:
        yield from _matrix(family(dim), rows)


def _repeated(action: Callable[[Tensor], object], x: Tensor) -> Callable[[], None]:
    times = max(1, BYTES_PER_CALL // (4 * x.numel()))

    def many() -> None:
        for _ in range(times):
            action(x)

    return many


def _elementwise(method: Normalizer, x: Tensor) -> Comparison:
    """Against the formula as one writes it; a copy of the input is the limit."""
    method.fit(Moments(method.dim, diagonal=True).update(x))
    scale, shift = method.affine()[0].diagonal().contiguous(), method.affine()[1]
    offset = -scale * shift
    error = float((method(x).double() - (x.double() - shift.double()) * scale.double()).abs().max())
    assert error < 1e-4, error
    name = f"`{type(method).__name__}`, {list(x.shape)}, {str(x.dtype).removeprefix('torch.')}"
    row = Comparison("apply", name, "`x * scale + offset`", "at most 1", f"within {error:.0e} of float64")
    row = in_turns(row, _repeated(method, x), _repeated(lambda x: x * scale + offset, x))
    copy = in_turns(Comparison("", "", "", "", ""), _repeated(Tensor.clone, x.float()), lambda: None)
    ratio = min(ours for ours, _ in row.seconds) / min(copied for copied, _ in copy.seconds)
    row.limit = f"a copy of float32: ours takes {ratio:.2f} of it"
    return row


def _matrix(method: Normalizer, rows: int) -> Iterator[Comparison]:
    """Against torch's layer alone, which subtracts no mean first, and against the layer that a user would write."""
    dim = method.dim
    seen = torch.randn(max(rows, 4 * dim), dim) @ (torch.eye(dim) + torch.randn(dim, dim) / (4 * dim**0.5)) + 10
    method.fit(Moments(dim).update(seen))
    x = seen[:rows].clone()
    weight, shift = method.affine()
    bias = -weight @ shift
    exact = (x.double() - method.shift) @ method.weight.T  # type: ignore[union-attr, operator]
    ours, layer, centred = (
        float((y.double() - exact).square().mean().sqrt())
        for y in (method(x), linear(x, weight, bias), linear(x - shift, weight))
    )
    assert ours < 1.1 * centred < 1e-5, (ours, centred)
    name = f"`{type(method).__name__}`, {rows} x {dim}"
    check = f"error {ours:.1e} of float64; the peer's {{:.1e}}"
    for peer_name, error, peer in (
        ("`F.linear(x, W, b)` alone", layer, lambda x: linear(x, weight, bias)),
        ("`F.linear(x - shift, W)`", centred, lambda x: linear(x - shift, weight)),
    ):
        row = Comparison("apply", name, peer_name, "at most 1.05", check.format(error))
        row = in_turns(row, _repeated(method, x), _repeated(peer, x))
        times = max(1, BYTES_PER_CALL // (4 * x.numel()))
        rate = 2 * rows * dim * dim * times / 1e9 / min(seconds for seconds, _ in row.seconds)
        row.limit = f"products at {rate:,.0f} GFLOP/s; see the machine's rates"
        yield row
