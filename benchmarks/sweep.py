"""K arms off one teacher pass against K solo runs, on the pocket set: without a feature store, and with a filled one.

Steady steps are compared, data included; loading teachers is left out, though a sweep does it once and solo runs K
times. A solo run costs the same for every method here within its noise, so four of the twelve are run and their time is
tripled.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean, median

from benchmarks.harness import PAIRS, Comparison, Seconds, timed
from benchmarks.memory_use import PeakMemory, release_freed_memory
from benchmarks.pocket import BATCH, PARTITION, Training, pocket_group, snapshot, steady
from phis_lab.engine import Arm, FeatureProvider, Group, Run, View

STEPS, SOLO, COMPARED = 4, 4, 2
COUNTS = (1, 4, 12)
METHODS = [
    ["normalizer=identity"],
    ["normalizer=phis"],
    ["normalizer=pca_whiten"],
    ["normalizer=standardize"],
    ["normalizer=global_standardize"],
    ["normalizer=zca_whiten"],
    ["normalizer=hadamard_whiten"],
    ["normalizer=pca_scale"],
    ["normalizer=random_rotation_scale"],
    ["normalizer=partial_whiten"],
    ["normalizer=identity", "loss=cosine"],
    ["normalizer=phis", "balancer=adaloss"],
]


def run() -> Iterator[Comparison]:
    """One row for each number of arms, and one with a filled store."""
    with tempfile.TemporaryDirectory() as folder:
        shared = [f"teachers.store={folder}", "augmentation.views=1", f"data.train_images={STEPS * BATCH}"]
        group = pocket_group(METHODS, STEPS, shared)
        trials = Trials(group)
        worst = trials.check()
        for pair in range(PAIRS):
            trials.measure(solo_first=pair % 2 == 0)
        for count in COUNTS:
            yield trials.row(count, f"losses of {min(count, SOLO)} solo runs equal, bit for bit")
        yield trials.stored_row(
            f"losses of identity and PHI-S within {worst:.0e} of those without a store, which keeps bfloat16"
        )


@dataclass
class Action:
    """Something that is timed once in every turn.

    Args:
        call: returns its steady seconds.
    """

    call: Callable[[], Seconds]
    seconds: list[float] = field(default_factory=list)
    peak: PeakMemory = field(default_factory=PeakMemory)

    def turn(self) -> None:
        """Measure once more."""
        if not self.seconds:
            release_freed_memory()
        self.seconds.append(timed(self.call, self.peak))


class Trials:
    """All that is timed, each once per turn.

    Args:
        group: twelve arms, with a store.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        runs = group.runs
        provider = group.stages[0].main.train
        without = FeatureProvider(provider.pool, provider.grids, 1, None, 0.0)

        starts = {run.key: snapshot(run.arm) for run in runs}

        def training(chosen: Sequence[Run], provider: FeatureProvider) -> Training:
            return Training(chosen, group.data.train_dataloader, provider, group.estimation, STEPS, starts)

        self.alone = [training([run], without) for run in runs[:SOLO]]
        self.together = {count: training(runs[:count], without) for count in COUNTS}
        self.from_store = training(runs, provider)
        self.solo = [Action(one) for one in self.alone]
        self.shared = {count: Action(several) for count, several in self.together.items()}
        self.stored = Action(self.from_store)
        self.teachers = Action(lambda: self._pass(without))
        self.reading = Action(lambda: self._pass(provider))
        self.student = Action(self._step_of_all)

    def check(self) -> float:
        """Run everything once, unmeasured; the greatest difference that the store makes to a loss, as a share of it.

        Whitening raises the store's rounding in the directions where teachers hardly vary, so it is left out of that.

        Raises:
            AssertionError: an arm is not equal to its solo run.
        """
        for training in (*self.alone, *self.together.values(), self.from_store):
            training()
        together, stored = self.together[max(COUNTS)].losses, self.from_store.losses
        for one in self.alone:
            for key, losses in one.losses.items():
                assert losses == together[key], f"{key}: {losses} alone, {together[key]} beside others"
        unwhitened = list(together)[:COMPARED]
        worst = max(abs(a - b) / a for key in unwhitened for a, b in zip(together[key], stored[key], strict=True))
        assert worst < 0.02, f"the store changes losses by {worst:.1%}"
        return worst

    def measure(self, solo_first: bool) -> None:
        """One turn."""
        costs = [self.teachers, self.reading, self.student]
        turn = [*self.solo, *self.shared.values(), self.stored, *costs]
        for action in turn if solo_first else reversed(turn):
            action.turn()

    def row(self, count: int, check: str) -> Comparison:
        """K arms without a store."""
        target = {1: "at most 1.05", 12: "at most 0.35, or 0.9 of the limit reached"}.get(count, "0.9 of the limit")
        ours = f"{count} arm{'s' * (count > 1)}, one teacher pass"
        return self._row(count, self.shared[count], median(self.teachers.seconds), ours, target, check)

    def stored_row(self, check: str) -> Comparison:
        """All arms with a filled store."""
        count, target = max(COUNTS), "at most 0.2, or 0.9 of the limit reached"
        ours = f"{count} arms, filled feature store"
        return self._row(count, self.stored, median(self.reading.seconds), ours, target, check)

    def _row(self, count: int, action: Action, features: float, ours: str, target: str, check: str) -> Comparison:
        ran = self.solo[: min(count, SOLO)]
        solo = [count / len(ran) * sum(seconds) for seconds in zip(*(one.seconds for one in ran), strict=True)]
        peer = f"{count} solo run{'s' * (count > 1)}"
        if count > len(ran):
            peer += f" ({len(ran)} are run, times {count // len(ran)})"
        row = Comparison("sweep", ours, peer, target, check, seconds=list(zip(action.seconds, solo, strict=True)))
        row.peak_mb = (action.peak.megabytes, max(one.peak.megabytes or 0.0 for one in ran))
        teachers, student = median(self.teachers.seconds), median(self.student.seconds)
        limit = (features + count * student) / (count * (teachers + student))
        stored = action is self.stored
        row.limit = (
            f"({'R' if stored else 'T'} + K S) / (K (T + S)) = {limit:.3f}, {limit / median(row.ratios):.2f} of it "
            f"reached; T = {teachers / student:.2f} S" + (f", R = {features / student:.2f} S" if stored else "")
        )
        return row

    def _pass(self, provider: FeatureProvider) -> Seconds:
        """Data, features and their check, without a student."""
        ends = []
        for step, batches in enumerate(self.group.data.train_dataloader()):
            batch = batches[PARTITION]
            self.images, self.features = batch.images, provider(batch.images, batch.keys)
            self.group.estimation.observe({PARTITION: self.features}, step)
            ends.append(time.perf_counter())
        return steady(ends)

    def _step_of_all(self) -> Seconds:
        """One step of every arm on ready features, as the mean of an arm times the steady steps of a run."""
        return Seconds(mean(self._step(run.arm) for run in self.group.runs) * (STEPS - 1))

    def _step(self, arm: Arm) -> float:
        started = time.perf_counter()
        arm.step({PARTITION: View(self.images, self.features[arm.grid_at()])}, 1, STEPS)
        return time.perf_counter() - started
