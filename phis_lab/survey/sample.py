"""A random sample of tokens out of a stream of unknown length."""

import torch
from torch import Tensor

from phis_lab.shapes import Float

SAMPLE_BYTES = 2**26


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
