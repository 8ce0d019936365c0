"""Checkpoints that are written while the next steps run."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

_T = TypeVar("_T")


def copied(state: _T) -> _T:
    """A copy on the CPU of a state's tensors and containers, which the next step does not change."""
    with torch.no_grad():
        kept: _T = tree_map(lambda leaf: leaf.to("cpu", copy=True) if isinstance(leaf, Tensor) else leaf, state)
    return kept


class BackgroundWriter:
    """One write at a time, in a thread of its own; what it raises is raised in the caller's."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._written: Future[None] | None = None

    def begin(self, write: Callable[[], None]) -> None:
        """Start to write, once what was begun before is written.

        Raises:
            Exception: what the write before raised.
        """
        self.wait()
        self._written = self._thread.submit(write)

    def raise_failure(self) -> None:
        """Raise what a write that has ended raised, without waiting for one that has not."""
        if self._written is not None and self._written.done():
            self.wait()

    def wait(self) -> None:
        """Wait until all is written.

        Raises:
            Exception: what the write raised.
        """
        written, self._written = self._written, None
        if written is not None:
            written.result()
