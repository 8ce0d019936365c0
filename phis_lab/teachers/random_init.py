"""Building a network draws random numbers; here they are always the same, and not the run's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def fixed_seed(seed: int = 0) -> Iterator[None]:
    """Draws parameters from `seed` inside the block and restores the global generator after it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
