"""How a block of feature values is kept: as it is, in two bytes, or in one with a scale per channel."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from phis_lab.shapes import Float

StoreDtype = Literal["float32", "bfloat16", "float16", "int8"]
DTYPES: Mapping[StoreDtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}
LEVELS = 127


class Encoded(NamedTuple):
    """A block as it is stored; `scale` and `shift` only for int8: value = scale * stored + shift."""

    values: Tensor
    scale: Float[Tensor, "channels"] | None = None
    shift: Float[Tensor, "channels"] | None = None


class Noise(NamedTuple):
    """What an encoding costs, in sums that add up over blocks."""

    squared_error: float = 0.0
    squared_deviation: float = 0.0

    @property
    def relative(self) -> float:
        """Squared error over the variance of the features, both summed over the channels."""
        return self.squared_error / self.squared_deviation if self.squared_deviation > 0 else 0.0

    def plus(self, other: "Noise") -> "Noise":
        """The noise of two blocks together."""
        return Noise(self.squared_error + other.squared_error, self.squared_deviation + other.squared_deviation)


def encode(values: Float[Tensor, "rows *tokens channels"], dtype: StoreDtype) -> Encoded:
    """Encode a block of finite values.

    int8 maps the range of each channel within the block onto -127 ... 127, so an error is at most a 508th of that
    range, whatever the channel's mean.

    Raises:
        ValueError: float16 cannot hold a value.
    """
    if dtype == "int8":
        return _encode_int8(values)
    stored = values.to(DTYPES[dtype])
    if dtype == "float16" and not bool(stored.isfinite().all()):
        raise ValueError(
            f"float16 holds values up to 65504, these reach {float(values.abs().max()):.4g}; "
            "choose teachers.store_dtype=bfloat16"
        )
    return Encoded(stored)


def decode(values: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """Values as float32; `scale` and `shift` broadcast against them."""
    if scale is None or shift is None:
        return values.float()
    return torch.mul(values, scale).add_(shift)  # int8 times float32 is float32, without a pass for the conversion


def noise(values: Float[Tensor, "rows *tokens channels"], encoded: Encoded) -> Noise:
    """What is lost when `encoded` stands for `values`."""
    error = decode(*encoded) - values
    deviation = values - values.flatten(0, -2).mean(dim=0)
    return Noise(*(float(part.square().sum(dtype=torch.float64)) for part in (error, deviation)))


def _encode_int8(values: Tensor) -> Encoded:
    flat = values.flatten(0, -2)
    low, high = flat.amin(dim=0), flat.amax(dim=0)
    shift = low / 2 + high / 2
    scale = (high - shift) / LEVELS
    steps = (values - shift) / torch.where(scale > 0, scale, 1.0)
    return Encoded(steps.round().clamp(-LEVELS, LEVELS).to(torch.int8), scale, shift)
