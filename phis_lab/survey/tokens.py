"""What is kept of a stream of tokens: the distribution of their norms, with its outliers, and a random sample."""

import torch
from torch import Tensor

from phis_lab.linalg.histograms import Histograms
from phis_lab.shapes import Float, Float64, Int64

DEVIATIONS = 5.0
LEAST_RATIO = 2.0
GAUSSIAN = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""
_DECADES = (-12.0, 12.0)
_PER_DECADE = 1000
SAMPLE_BYTES = 2**26


class TokenNorms:
    """Euclidean norms of tokens in one pass: a histogram over their logarithm, and the largest.

    Quantiles and shares are right to a bin of a thousandth of a decade, 0.23 % of a norm.

    Frozen vision transformers without registers put global information into a few tokens with many times the norm
    of the others (Darcet et al., "Vision Transformers Need Registers", 2024). A token counts as such an outlier where
    its norm is above the median by more than 5 standard deviations, estimated as 1.4826 median absolute deviations,
    and is at least twice the median.
    """

    def __init__(self) -> None:
        low, high = (torch.tensor([bound], dtype=torch.float64) for bound in _DECADES)
        self._counted = Histograms(low, high, int((_DECADES[1] - _DECADES[0]) * _PER_DECADE))
        self.largest = 0.0

    def update(self, tokens: Float[Tensor, "*rows dim"]) -> None:
        """Takes in tokens, on any device."""
        norms = tokens.detach().double().norm(dim=-1).flatten().cpu()
        if len(norms):
            self.largest = max(self.largest, float(norms.max()))
            self._counted.update(norms.log10()[:, None])

    @property
    def median(self) -> float:
        """Of all norms."""
        return float(_weighted_median(*self._bins()))

    @property
    def deviation(self) -> float:
        """Standard deviation of a Gaussian with the same median absolute deviation."""
        norms, counts = self._bins()
        return GAUSSIAN * float(_weighted_median((norms - self.median).abs(), counts))

    @property
    def threshold(self) -> float:
        """Norm above which a token is an outlier."""
        return max(self.median + DEVIATIONS * self.deviation, LEAST_RATIO * self.median)

    @property
    def outliers(self) -> float:
        """Share of the tokens that are outliers."""
        norms, counts = self._bins()
        return float(counts[norms > self.threshold].sum() / counts.sum())

    def distribution(self, per_decade: int = 50) -> tuple[float, float, Float64[Tensor, " bins"]]:
        """Lowest and highest log10 of a norm, and the density between them, with so many bins per decade."""
        counts = self._counted.counts[0].reshape(-1, _PER_DECADE // per_decade).sum(dim=1)
        filled = counts.nonzero().flatten()
        if not len(filled):
            return 0.0, 1.0, torch.zeros(1, dtype=torch.float64)
        first, last = int(filled[0]), int(filled[-1]) + 1
        density = counts[first:last].double() / int(self._all().sum()) * per_decade
        return _DECADES[0] + first / per_decade, _DECADES[0] + last / per_decade, density

    def _all(self) -> Int64[Tensor, " bins"]:
        """Counts with those outside of the bounds: of zero tokens first, of immense ones last."""
        return torch.cat([self._counted.below, self._counted.counts[0], self._counted.above])

    def _bins(self) -> tuple[Float64[Tensor, " bins"], Int64[Tensor, " bins"]]:
        edges = self._counted.edges()[0]
        middles = torch.cat([torch.zeros(1), 10 ** ((edges[:-1] + edges[1:]) / 2), torch.tensor([self.largest])])
        return middles, self._all()


def _weighted_median(values: Float64[Tensor, " bins"], counts: Int64[Tensor, " bins"]) -> Float64[Tensor, ""]:
    """The smallest value that half of all counts do not exceed."""
    order = values.argsort()
    reached = counts[order].cumsum(0)
    return values[order][int(torch.searchsorted(2 * reached, reached[-1]))]


class TokenSample:
    """Every token has the same chance to be kept, in bounded memory and in one pass.

    Each token draws a number, and those with the smallest are kept: whatever the batches, a uniform sample without
    replacement. All tokens are kept where they fit.

    Args:
        dim: channels of a token.
        size: tokens that are kept; by default as many as fit into 64 MB.
        seed: of the draw.
    """

    def __init__(self, dim: int, size: int | None = None, seed: int = 0) -> None:
        self.size = SAMPLE_BYTES // (4 * dim) if size is None else size
        if self.size < 1:
            raise ValueError(f"a sample holds at least one token, got size={self.size}")
        self._generator = torch.Generator().manual_seed(seed)
        self._tokens = torch.empty(0, dim)
        self._draws = torch.empty(0, dtype=torch.float64)

    def update(self, tokens: Float[Tensor, "*rows dim"]) -> None:
        """Takes in tokens, on any device; those that are kept lie on the CPU in float32."""
        rows = tokens.detach().reshape(-1, tokens.shape[-1])
        draws = torch.rand(len(rows), dtype=torch.float64, generator=self._generator)
        full = len(self._draws) == self.size
        chosen = (draws < self._draws.max()).nonzero().squeeze(1) if full else torch.arange(len(rows))
        if not len(chosen):
            return
        arrived = rows[chosen.to(rows.device)].float().cpu()
        everyone = torch.cat([self._draws, draws[chosen]])
        kept = everyone.argsort()[: self.size].sort().values
        self._draws = everyone[kept]
        self._tokens = torch.cat([self._tokens, arrived])[kept]

    @property
    def tokens(self) -> Float[Tensor, "tokens dim"]:
        """Those that were kept, in the order of their arrival."""
        return self._tokens
