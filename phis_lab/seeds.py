"""Random numbers: seeds that are named, streams that arms do not share, and networks that are always built alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch
from torch import Tensor

from phis_lab import processes


def named_seed(*name: str | int) -> int:
    """Returns a seed in [0, 2^32) that depends on `name` alone, never on what ran before.

    torch's CPU generator uses 32 bits of its seed, which is why the name is hashed and not packed into a
    number.
    """
    return int.from_bytes(blake2b(repr(name).encode(), digest_size=4).digest(), "big")


class RandomStream:
    """One arm's private copy of torch's global generators.

    Inside its contexts everything that draws from the global generators (initialisation, dropout, drop path, crops of
    position embeddings) draws from this stream, so an arm draws the same numbers whether it trains alone or beside
    others.

    Args:
        seed: start of the stream.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        with _preserved():
            torch.manual_seed(seed)
            self._state = _read()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw what every process has to draw alike, such as the initialisation; the next call goes on from there."""
        with _preserved():
            _write(self._state)
            try:
                yield
            finally:
                self._state = _read()

    @contextmanager
    def at(self, stage: str, step: int) -> Iterator[None]:
        """Draw what a training step needs: a function of the seed, the stage, the step and this process's rank.

        Processes see different images and therefore draw different numbers. No state has to be kept for a resumed run.
        """
        with _preserved():
            torch.manual_seed(named_seed("step", self.seed, stage, step, processes.rank()))
            yield


@contextmanager
def _preserved() -> Iterator[None]:
    outer = _read()
    try:
        yield
    finally:
        _write(outer)


def _read() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _write(state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])


@contextmanager
def fixed_seed(seed: int = 0) -> Iterator[None]:
    """Draws parameters from `seed` inside the block and restores the global generator after it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
