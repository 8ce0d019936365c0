"""Twelve arms off one teacher pass against twelve solo runs, where teachers cost 0.3, 1.4 and 10 times an arm's step.

The teacher is a random linear map that computes products besides, as many as it takes; the student is a small ViT.
"""

import time
from collections.abc import Iterator
from statistics import median

import torch
from torch import Tensor

from benchmarks.harness import PAIRS, Comparison
from benchmarks.parts import Batches, FrozenEstimation, PatchTeacher, arm_of, run_of
from benchmarks.pocket import PARTITION, Training
from phis_lab.data import Augmentation, DataModule
from phis_lab.data.digits import Digits
from phis_lab.engine import FeatureProvider, View
from phis_lab.features import Features
from phis_lab.students import ViT
from phis_lab.teachers import TeacherPool

COSTS = (0.3, 1.4, 10.0)
ARMS, SOLO, STEPS = 12, 2, 4
BATCH, SIDE, CHANNELS = 16, 64, 256


def run() -> Iterator[Comparison]:
    """A row for each cost of the teacher."""
    for cost in COSTS:
        trial = Trial(cost)
        for pair in range(PAIRS):
            trial.measure(solo_first=pair % 2 == 0)
        yield trial.row()


class CostlyTeacher(PatchTeacher):
    """A random linear map of patches that multiplies two matrices so many times besides."""

    products = 0

    def features(self, x: Tensor) -> Features:
        """Spatial features alone."""
        for _ in range(self.products):
            torch.mm(self.network.weight.flatten(1), self.network.weight.flatten(1).T)
        return super().features(x)


class Trial:
    """Twelve arms and a teacher of one cost; everything is timed once in every turn.

    Args:
        cost: of a teacher pass, in steps of an arm.
    """

    def __init__(self, cost: float) -> None:
        self.cost, self.teacher = cost, CostlyTeacher("teacher", CHANNELS, SIDE, 16)
        self.pool = TeacherPool({"teacher": self.teacher}, precision="float32")
        runs = [run_of(arm_of(self.pool, ViT(SIDE, width=96, depth=4, heads=3)), str(number)) for number in range(ARMS)]
        data = DataModule(Digits(batch_size=BATCH, train_images=200, test_images=20), Augmentation(SIDE), STEPS)
        batches = list(data.train_dataloader())
        provider = FeatureProvider(self.pool, [runs[0].arm.grid_at()], 200, None, 0.0)
        self.images, self.arm = batches[0][PARTITION].images, runs[0].arm
        self.together, *self.alone = (
            Training(chosen, lambda: Batches(batches), provider, FrozenEstimation(), STEPS)
            for chosen in (runs, *([run] for run in runs[:SOLO]))
        )
        self._set_cost()
        for training in (self.together, *self.alone):
            training()
        for one in self.alone:
            for key, losses in one.losses.items():
                assert losses == self.together.losses[key], f"arm {key} is not its solo run"
        self.seconds: dict[str, list[float]] = {"together": [], "alone": [], "teachers": [], "arm": []}

    def _set_cost(self) -> None:
        """Give the teacher as many products as its cost asks for."""
        arm = min(self._arm_seconds() for _ in range(10))
        without = min(self._teacher_seconds() for _ in range(10))
        self.teacher.products = 1000
        product = (min(self._teacher_seconds() for _ in range(3)) - without) / self.teacher.products
        self.teacher.products = max(0, round((self.cost * arm - without) / product))

    def measure(self, solo_first: bool) -> None:
        """One turn."""
        actions = {
            "alone": lambda: ARMS / SOLO * sum(one() for one in self.alone),
            "teachers": lambda: median(self._teacher_seconds() for _ in range(STEPS)),
            "arm": lambda: median(self._arm_seconds() for _ in range(STEPS)),
            "together": self.together,
        }
        for name in actions if solo_first else reversed(actions):
            self.seconds[name].append(float(actions[name]()))

    def row(self) -> Comparison:
        """What was measured, beside the share that is left where nothing but teachers and arms takes time."""
        row = Comparison(
            "shares",
            f"{ARMS} arms, one teacher pass, T = {self.cost:g} S",
            f"{ARMS} solo runs ({SOLO} are run, times {ARMS // SOLO})",
            "0.95 of the limit",
            f"losses of {SOLO} solo runs equal, bit for bit",
            seconds=list(zip(self.seconds["together"], self.seconds["alone"], strict=True)),
        )
        teachers, arm = median(self.seconds["teachers"]), median(self.seconds["arm"])
        limit = (teachers + ARMS * arm) / (ARMS * (teachers + arm))
        row.limit = (
            f"(T + K S) / (K (T + S)) = {limit:.3f}, {limit / median(row.ratios):.2f} of it reached; "
            f"T = {teachers / arm:.2f} S as measured"
        )
        return row

    def _teacher_seconds(self) -> float:
        started = time.perf_counter()
        self.features = self.together.provider(self.images)
        return time.perf_counter() - started

    def _arm_seconds(self) -> float:
        if not hasattr(self, "features"):
            self._teacher_seconds()
        started = time.perf_counter()
        self.arm.step({PARTITION: View(self.images, self.features[self.arm.grid_at()])}, 1, 1000)
        return time.perf_counter() - started
