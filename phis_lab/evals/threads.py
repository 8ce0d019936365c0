"""Independent rows side by side on the cores of a CPU."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")


def side_by_side(work: Callable[[slice], Result], count: int, device: torch.device) -> list[Result]:
    """Does the same work on every span of rows: as many spans as torch has threads on a CPU, one elsewhere.

    Torch's own threads share each operation and wait for each other at its end, so a chain of small operations
    takes many times longer as soon as another program wants the cores. Whole spans meet only once. Gradients are
    not recorded, and torch's settings for one thread, such as autocast, do not reach the work.

    Args:
        work: is called with a span of the rows, and torch computes it on one thread.
        count: number of rows.
        device: of the data.

    Returns:
        The results, in the order of the rows.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    spans = [slice(count * i // threads, count * (i + 1) // threads) for i in range(threads)]
    if threads == 1:
        return [_without_gradients(work, spans[0])]
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(pool.map(_without_gradients, [work] * threads, spans))
    finally:
        pool.shutdown()
        torch.set_num_threads(threads)


def _without_gradients(work: Callable[[slice], Result], span: slice) -> Result:
    with torch.no_grad():
        return work(span)
