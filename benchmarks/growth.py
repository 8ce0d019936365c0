"""How the cost of a step grows with batch, tokens, channels, teachers and arms: slopes on log-log axes.

A step here is the teacher pass and the optimisation of every arm on ready images in float32. Teachers are random linear
maps, so the student decides; one size grows at a time and the rest stays as in `Size`.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from benchmarks.harness import Measurement, measured
from benchmarks.parts import FrozenEstimation, PatchTeacher, arm_of
from benchmarks.pocket import PARTITION
from phis_lab.engine import FeatureProvider, View
from phis_lab.students import ViT
from phis_lab.teachers import TeacherPool

ROUNDS, LEAST_SECONDS = 5, 0.03


@dataclass(frozen=True)
class Size:
    """Sizes of a step; the student is the pocket one."""

    batch: int = 32
    side: int = 4  # tokens of a row
    channels: int = 256
    teachers: int = 2
    arms: int = 1


def run() -> Iterator[Measurement]:
    """A slope for each size, and how well a straight line in the number of arms fits."""
    yield _slope("batch", (32, 64, 128, 256), lambda n: Size(batch=n), "about 1")
    yield _slope(
        "tokens", (16, 36, 64, 144), lambda n: Size(batch=8, side=round(n**0.5)), "about 1: attention's square is small"
    )
    yield _slope(
        "channels of a teacher",
        (128, 256, 512, 1024),
        lambda n: Size(channels=n),
        "at most 2: head and normaliser are squares, the backbone is constant",
    )
    yield _slope("teachers", (1, 2, 4, 8), lambda n: Size(teachers=n), "at most 1: one backbone, a head each")
    arms = (1, 2, 4, 8)
    row = _slope("arms", arms, lambda n: Size(arms=n), "at most 1: T + K S")
    yield row
    yield _affine(row)


def _slope(quantity: str, sizes: Sequence[int], size_of: Callable[[int], Size], expected: str) -> Measurement:
    """The exponent p of cost ~ size^p, once per round over all sizes; sizes are measured in turns."""
    steps = [step_of(size_of(n)) for n in sizes]
    repeats = [max(1, round(LEAST_SECONDS / _seconds(step, 1))) for step in steps]
    rounds = [[_seconds(step, n) for step, n in zip(steps, repeats, strict=True)] for _ in range(ROUNDS)]
    slopes = [float(np.polyfit(np.log(sizes), np.log(costs), 1)[0]) for costs in rounds]
    typical = [median(costs) for costs in zip(*rounds, strict=True)]
    relative = ", ".join(f"{cost / typical[0]:.2f}" for cost in typical)
    how = f"log-log slope over {', '.join(map(str, sizes))}; relative cost {relative}"
    points = [(float(size), cost) for size, cost in zip(sizes, typical, strict=True)]
    return measured("growth", f"{quantity}: slope", slopes, expected, how, points)


def _affine(row: Measurement) -> Measurement:
    """How far the cost of K arms is from T + K S."""
    arms, seconds = np.array(row.points).T
    slope, intercept = np.polyfit(arms, seconds, 1)
    off = [float(abs(s / (intercept + slope * k) - 1)) for k, s in zip(arms, seconds, strict=True)]
    how = f"line through the medians of the row above; T / S = {max(intercept, 0) / slope:.2f}"
    return measured("growth", "arms: distance from T + K S, as a share", off, "about 0", how, row.points)


def step_of(size: Size) -> Callable[[], None]:
    """A step of that size: the teacher pass, the check of the features, and one optimisation step of every arm."""
    pixels = 16 * size.side
    names = [f"teacher{number}" for number in range(size.teachers)]
    pool = TeacherPool({name: PatchTeacher(name, size.channels, pixels, 16) for name in names}, precision="float32")
    arms = [arm_of(pool, ViT(pixels)) for _ in range(size.arms)]
    provider = FeatureProvider(pool, [arm.grid_at() for arm in arms], 1, None, 0.0)
    estimation = FrozenEstimation()
    images = torch.rand(size.batch, 3, pixels, pixels)
    counter = itertools.count()

    def step() -> None:
        features = provider(images)
        number = next(counter)
        estimation.observe({PARTITION: features}, number)
        for arm in arms:
            arm.step({PARTITION: View(images, features[arm.grid_at()])}, number, 1000)

    step()
    return step


def _seconds(step: Callable[[], None], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - started) / repeats
