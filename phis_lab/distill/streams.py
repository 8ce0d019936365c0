"""Random streams that arms do not share."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class RandomStream:
    """One arm's private copy of torch's global generators.

    Inside `active()` everything that draws from the global generators (initialisation, dropout, drop path) draws from
    this stream, so an arm draws the same numbers whether it trains alone or beside others.

    Args:
        seed: start of the stream.
    """

    def __init__(self, seed: int) -> None:
        with _preserved():
            torch.manual_seed(seed)
            self._state = _read()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Swap this stream in for the global one, and its advanced state back out."""
        with _preserved():
            _write(self._state)
            try:
                yield
            finally:
                self._state = _read()

    def state_dict(self) -> dict[str, Tensor]:
        """The state, for a checkpoint."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue where a checkpoint stopped; a stream of a device that is absent here stays as it is."""
        self._state |= {key: value for key, value in state.items() if key in self._state}


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
