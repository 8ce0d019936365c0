"""Rows of the suite: ours against a peer in turns (`Comparison`), and quantities that have no peer (`Measurement`)."""

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from types import ModuleType

from benchmarks.memory_use import PeakMemory, release_freed_memory

PAIRS = 7


@dataclass
class Comparison:
    """One row: times of ours and of a peer, pair by pair.

    Args:
        name: benchmark.
        ours: what is measured.
        peer: what it is measured against.
        target: the ratio ours / peer that the project holds itself to.
        check: what was compared before the times counted, and by how much it differed.
        limit: the physical limit and how far ours is from it, in words.
        seconds: pairs (ours, peer).
        peak_mb: most memory (ours, peer) that one call took above what was there before it, in MB; None where it
            cannot be measured.
    """

    name: str
    ours: str
    peer: str
    target: str
    check: str
    limit: str = ""
    seconds: list[tuple[float, float]] = field(default_factory=list)
    peak_mb: tuple[float | None, float | None] = (None, None)

    HEADER = (
        "benchmark", "ours", "peer", "ours / peer", "range", "target", "peak MB ours / peer", "limit", "correctness"
    )  # fmt: skip

    @property
    def ratios(self) -> list[float]:
        """Time of ours over time of the peer, sorted."""
        return sorted(ours / peer for ours, peer in self.seconds)

    @property
    def fastest(self) -> float:
        """Least seconds of ours, to be held against a physical limit."""
        return min(ours for ours, _ in self.seconds)

    def row(self) -> str:
        """A line of the Markdown table."""
        ratios = self.ratios
        spread = f"{ratios[0]:.3f} to {ratios[-1]:.3f}"
        peak = " / ".join("-" if mb is None else f"{mb:,.0f}" for mb in self.peak_mb)
        return table_line(
            self.name,
            self.ours,
            self.peer,
            f"**{median(ratios):.3f}**",
            spread,
            self.target,
            peak,
            self.limit or "-",
            self.check,
        )

    def facts(self) -> dict[str, object]:
        """The row as data."""
        return asdict(self) | {"median_ratio": median(self.ratios)}


@dataclass
class Measurement:
    """One row: a quantity that has an expected value instead of a peer, such as a slope or memory per arm.

    Args:
        name: benchmark.
        quantity: what was measured, over which range.
        value: the median, without unit.
        low: least of the repeated values.
        high: greatest of the repeated values.
        expected: what theory, or the project's target, says.
        how: what was fitted or compared.
        points: the raw numbers behind it: x with seconds, bytes or shares.
    """

    name: str
    quantity: str
    value: float
    low: float
    high: float
    expected: str
    how: str
    points: list[tuple[float, ...]] = field(default_factory=list)

    HEADER = ("benchmark", "quantity", "measured", "range", "expected", "how")

    def row(self) -> str:
        """A line of the Markdown table."""
        spread = f"{self.low:.3g} to {self.high:.3g}"
        return table_line(self.name, self.quantity, f"**{self.value:.3g}**", spread, self.expected, self.how)

    def facts(self) -> dict[str, object]:
        """The row as data."""
        return asdict(self)


class Seconds(float):
    """Returned by an action that clocks itself, because its set-up is not what is compared."""


class MissingPeerError(ModuleNotFoundError):
    """A peer of the `bench` extra is not installed."""


def peer_module(name: str) -> ModuleType:
    """Import a peer.

    Raises:
        MissingPeerError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPeerError(f"the peer {name} is not installed ({error}): {INSTALL}") from error


INSTALL = "run `make bench`, or `pip install -e '.[bench]'`"


def in_turns(
    comparison: Comparison, ours: Callable[[], object], peer: Callable[[], object], pairs: int = PAIRS
) -> Comparison:
    """Fill in times and memory: one unmeasured call each, then `pairs` measured pairs.

    Who goes first alternates (A B, B A, A B, ...), so that neither a drift of the machine nor what one leaves in the
    caches favours one side. The peak memory is the greatest of the measured calls; before the first of each side
    freed memory goes back to the system. An action that returns `Seconds` is timed by these.
    """
    sides, peaks = (ours, peer), (PeakMemory(), PeakMemory())
    ours()
    peer()
    for pair in range(pairs):
        seconds = [0.0, 0.0]
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            if pair == 0:
                release_freed_memory()
            seconds[side] = timed(sides[side], peaks[side])
        comparison.seconds.append((seconds[0], seconds[1]))
    comparison.peak_mb = (peaks[0].megabytes, peaks[1].megabytes)
    return comparison


def measured(
    name: str, quantity: str, values: list[float], expected: str, how: str, points: Sequence[tuple[float, ...]]
) -> Measurement:
    """A row from repeated values."""
    return Measurement(name, quantity, median(values), min(values), max(values), expected, how, list(points))


def table_line(*cells: str) -> str:
    """Cells as a line of a Markdown table; a bar inside a cell would end it."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def timed(action: Callable[[], object], peak: PeakMemory) -> float:
    """Seconds of one call: by the wall clock, or by the action's own account."""
    with peak.watched():
        started = time.perf_counter()
        result = action()
        seconds = time.perf_counter() - started
    return float(result) if isinstance(result, Seconds) else seconds
