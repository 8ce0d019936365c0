"""What Lightning and the `Distiller` add to a step, as a partition of a pocket step.

Student and teacher are so small that computing takes next to nothing; the same calls by hand, without trainer and
`Distiller`, are taken off. The remainder does not depend on the sizes, so it is read against a real step.
"""

import time
from collections.abc import Iterator

from benchmarks.harness import PAIRS, Comparison, Measurement, Seconds, in_turns, measured
from benchmarks.parts import Batches, FrozenEstimation, PatchTeacher, arm_of, run_of
from benchmarks.pocket import PARTITION, Training, pocket_group, restart, schedule, steady
from phis_lab.data import Augmentation, DataModule
from phis_lab.data.digits import Digits
from phis_lab.engine import FeatureProvider, View
from phis_lab.engine.estimation.base import refuse_non_finite
from phis_lab.linalg.cpu import one_torch_thread
from phis_lab.students import ViT
from phis_lab.teachers import TeacherPool

STEPS, POCKET_STEPS, SIDE = 200, 6, 16


def run() -> Iterator[Comparison | Measurement]:
    """The tiny step against bare calls, and the difference as a partition of a pocket step."""
    pocket = Training.of(pocket_group([[]], POCKET_STEPS))
    pocket()
    pocket_step = min(pocket() / (POCKET_STEPS - 1) for _ in range(3))
    with one_torch_thread():
        row = _against_bare_calls()
    yield row
    per_step = [(ours - peer) / (STEPS - 1) for ours, peer in row.seconds]
    yield measured(
        "overhead",
        "Lightning and `Distiller` per step, as a partition of a pocket step",
        [seconds / pocket_step for seconds in per_step],
        "at most 0.01",
        "difference of the row above over the least of three pocket steps with one arm",
        [(seconds, pocket_step) for seconds in per_step],
    )


def _against_bare_calls() -> Comparison:
    tiny = _tiny()
    bare = BareCalls(tiny)
    tiny()
    bare()
    assert tiny.losses["arm"] == bare.losses, "losses differ"
    row = Comparison(
        "overhead",
        "tiny step: `Distiller` under Lightning",
        "provider, estimation and arm called by hand",
        "-",
        f"losses of {STEPS} steps are equal",
        limit="all of the difference is the framework's; one thread",
    )
    return in_turns(row, tiny, bare, PAIRS)


def _tiny() -> Training:
    """A student of four tokens and a linear teacher on the bundled digits."""
    pool = TeacherPool({"patches": PatchTeacher("patches", 8, SIDE)}, precision="float32")
    arm = arm_of(pool, ViT(SIDE, 8, width=8, depth=1, heads=1))
    data = DataModule(Digits(batch_size=4, train_images=200, test_images=20), Augmentation(SIDE), STEPS)
    batches = list(data.train_dataloader())  # rendering is no part of the framework
    provider = FeatureProvider(pool, [arm.grid_at()], 200, None, 0.0)
    return Training([run_of(arm)], lambda: Batches(batches), provider, FrozenEstimation(), STEPS)


class BareCalls:
    """The calls that a step consists of, one after the other.

    Args:
        training: whose parts are called.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self.losses: list[float] = []

    def __call__(self) -> Seconds:
        """Train once; the seconds from the end of the first step to the end of the last."""
        training = self.training
        (run,) = training.runs
        restart(run.arm, training.starts[run.key])
        self.losses, ends = [], []
        for step, batch in enumerate(training.batches()):
            images = batch[PARTITION].images
            features = training.provider(images, batch[PARTITION].keys)
            refuse_non_finite({PARTITION: features}, step)
            training.estimation.observe({PARTITION: features}, step)
            view = View(images, features[run.arm.grid_at()])
            self.losses.append(float(run.arm.step({PARTITION: view}, step, schedule(training.steps)).loss))
            ends.append(time.perf_counter())
        return steady(ends)
