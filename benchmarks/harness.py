"""Ours and the peer in turns: A B A B ..., after a check that both compute the same."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median

PAIRS = 7


@dataclass
class Comparison:
    """One row: times of ours and of a peer, pair by pair.

    Args:
        name: benchmark.
        ours: what is measured.
        peer: what it is measured against.
        target: the ratio ours / peer that the project holds itself to.
        seconds: pairs (ours, peer).
        check: what was compared before the times counted, and by how much it differed.
    """

    name: str
    ours: str
    peer: str
    target: str
    check: str
    seconds: list[tuple[float, float]] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Time of ours over time of the peer, sorted."""
        return sorted(ours / peer for ours, peer in self.seconds)

    def row(self) -> str:
        """A line of the Markdown table."""
        ratios = self.ratios
        spread = f"{ratios[0]:.3f} to {ratios[-1]:.3f}"
        cells = [self.name, self.ours, self.peer, f"**{median(ratios):.3f}**", spread, self.target, self.check]
        return f"| {' | '.join(cells)} |"

    def facts(self) -> dict[str, object]:
        """The row as data."""
        return asdict(self) | {"median_ratio": median(self.ratios)}


def in_turns(
    comparison: Comparison, ours: Callable[[], object], peer: Callable[[], object], pairs: int = PAIRS
) -> Comparison:
    """Fill in the times: one unmeasured call each, then `pairs` measured pairs."""
    ours()
    peer()
    for _ in range(pairs):
        comparison.seconds.append((_timed(ours), _timed(peer)))
    return comparison


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
