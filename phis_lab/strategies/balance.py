"""How many processes work on each partition of a stage, so that the slowest partition is as fast as can be."""

from collections.abc import Mapping

Costs = Mapping[str, Mapping[int, float]]
"""Seconds of a step, by partition and by the number of processes that share its images."""


def divisors(images: int) -> list[int]:
    """Numbers of processes that can share so many images, each of them the same number."""
    return [number for number in range(1, images + 1) if images % number == 0]


def best_ranks(seconds: Costs, processes: int) -> dict[str, int] | None:
    """Processes of each partition that come to `processes` and make the slowest partition fastest; None if none do.

    Of several choices it takes the one whose next slowest partition is faster, and then the one that gives the first
    partitions more. Sums are built up partition by partition, and of all ways to a sum only the best is kept: one that
    is better stays so whatever is added to both.

    Args:
        seconds: of a step; numbers that are left out do not divide the images of a partition.
        processes: in all, every one of which works on one partition.
    """
    best: dict[int, tuple[tuple[float, ...], tuple[int, ...]]] = {0: ((), ())}
    for of_partition in seconds.values():
        found: dict[int, tuple[tuple[float, ...], tuple[int, ...]]] = {}
        for taken, (times, fewer) in best.items():
            for number, time in of_partition.items():
                choice = tuple(sorted((*times, time), reverse=True)), (*fewer, -number)
                if taken + number <= processes:
                    found[taken + number] = min(choice, found.get(taken + number, choice))
        best = found
    return dict(zip(seconds, (-number for number in best[processes][1]), strict=True)) if processes in best else None


def nearest_numbers(images: Mapping[str, int], processes: int) -> list[int]:
    """The next smaller and the next larger number of processes that can be divided among partitions."""
    sums = {0}
    for of_partition in images.values():
        sums = {before + number for before in sums for number in divisors(of_partition)}
    below, above = ([number for number in sums if sign * number > sign * processes] for sign in (-1, 1))
    return [*([max(below)] if below else []), *([min(above)] if above else [])]
