"""Histograms of many channels at once, over rows that arrive in batches."""

import torch
from torch import Tensor

from phis_lab.guards import require_tensors
from phis_lab.shapes import Float, Float64, Int64

BLOCK_ROWS = 4096


class Histograms:
    """Counts per channel in equal bins between two fixed bounds, and outside of them.

    Bins are half-open, [edge, next edge), and the last one includes its upper edge, as numpy's. Fixed bounds make a
    pass exact whatever its batches; where the bounds depend on the data, its moments take a pass before.

    Args:
        low: lower bound of each channel.
        high: upper bound of each channel, above the lower one.
        bins: bins of each channel.

    Raises:
        ValueError: a bound is not finite, or not above its lower one.
    """

    def __init__(self, low: Float64[Tensor, "channels"], high: Float64[Tensor, "channels"], bins: int = 100) -> None:
        if not ((high > low) & low.isfinite() & high.isfinite()).all():
            raise ValueError("every upper bound must be finite and above its lower one; see Histograms.around")
        self.low, self.high, self.bins = low, high, bins
        self._counts = torch.zeros(len(low), bins + 2, dtype=torch.int64, device=low.device)

    @classmethod
    def around(
        cls,
        mean: Float64[Tensor, "channels"],
        std: Float64[Tensor, "channels"],
        deviations: float = 5.0,
        bins: int = 100,
    ) -> "Histograms":
        """Bounds at so many standard deviations from the mean (PHI-S, fig. 2: 5); at +-1 for a constant channel."""
        reach = torch.where(std > 0, deviations * std, 1.0)
        return cls(mean - reach, mean + reach, bins)

    def update(self, x: Float[Tensor, "*rows channels"]) -> "Histograms":
        """Takes in rows.

        Raises:
            ValueError: another number of channels, or rows with NaN.
        """
        channels = len(self.low)
        require_tensors(x=x)
        if x.shape[-1] != channels:
            raise ValueError(f"these histograms have {channels} channels, got {x.shape[-1]} in shape {tuple(x.shape)}")
        width = (self.high - self.low) / self.bins
        first = torch.arange(channels, device=self.low.device) * (self.bins + 2)
        for rows in x.detach().reshape(-1, channels).split(BLOCK_ROWS):
            values = rows.to(self.low)
            if values.isnan().any():
                raise ValueError("the rows hold NaN; find their source, or leave them out")
            place = ((values - self.low) / width).floor_().clamp_(-1, self.bins).long()
            place[values == self.high] = self.bins - 1
            counted = torch.bincount((place + 1 + first).flatten(), minlength=self._counts.numel())
            self._counts += counted.reshape(self._counts.shape)
        return self

    @property
    def counts(self) -> Int64[Tensor, "channels bins"]:
        """Values in each bin."""
        return self._counts[:, 1:-1]

    @property
    def below(self) -> Int64[Tensor, "channels"]:
        """Values under the lower bound."""
        return self._counts[:, 0]

    @property
    def above(self) -> Int64[Tensor, "channels"]:
        """Values over the upper bound."""
        return self._counts[:, -1]

    def edges(self) -> Float64[Tensor, "channels edges"]:
        """Borders of the bins, one more than there are bins."""
        steps = torch.arange(self.bins + 1, dtype=torch.float64, device=self.low.device) / self.bins
        return self.low[:, None] + (self.high - self.low)[:, None] * steps

    def density(self) -> Float64[Tensor, "channels bins"]:
        """Share of all values in a bin, those outside counted too, over the bin's width."""
        total = self._counts.sum(dim=1).clamp_min(1)
        width = (self.high - self.low) / self.bins
        return self.counts / (total * width)[:, None]
