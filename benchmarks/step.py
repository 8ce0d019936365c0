"""One training step of the pocket recipe: against a bare loop over the same parts, and PHI-S against no normaliser.

Then one step with a single teacher against the tools that a user could take instead, each in its own file.
"""

import time
from collections.abc import Iterator

import torch

from benchmarks import step_lightly_train, step_torchdistill
from benchmarks.harness import Comparison, Seconds, in_turns
from benchmarks.limits import matrix_limit
from benchmarks.pocket import PARTITION, Training, pocket_group, restart, schedule, snapshot, steady
from phis_lab.engine import Arm, Group, View
from phis_lab.engine.shared_targets import SharedTargets
from phis_lab.features import match_grid
from phis_lab.normalizers import TeacherSpace
from phis_lab.precision import low_products

STEPS = 8


def run() -> Iterator[Comparison]:
    """Time a few steps of each, data loading included."""
    group = pocket_group([["normalizer=phis"]], STEPS)
    ours, bare = Training.of(group), BareLoop(group)
    ours()
    bare()
    difference = max(abs(a - b) for a, b in zip(next(iter(ours.losses.values())), bare.losses, strict=True))
    assert difference < 1e-5, f"losses differ by {difference}"
    check = f"losses of {STEPS} steps agree to {difference:.0e}"
    row = Comparison("step", "`Distiller` under Lightning", "a bare loop over the same parts", "at most 1.05", check)
    in_turns(row, ours, bare)
    row.limit = matrix_limit(bare, STEPS, row.fastest / (STEPS - 1), group.options.low_precision)
    yield row
    group = pocket_group([["normalizer=phis"], ["normalizer=identity"]], STEPS)
    phis, identity = (Training.of(group, [run]) for run in group.runs)
    check = "same teachers, batches and initial student"
    row = Comparison("step", "`normalizer=phis`", "`normalizer=identity`", "at most 1.02", check)
    yield in_turns(row, phis, identity)
    yield from _teachers_aside(STEPS)
    yield from step_torchdistill.compare()
    yield from step_lightly_train.compare()


def _teachers_aside(steps: int) -> Iterator[Comparison]:
    """An arm's step on ready features: with PHI-S against none, alone and where two seeds share their targets."""
    methods = [["normalizer=phis"], ["normalizer=phis", "seed=1"], ["normalizer=identity"]]
    group = pocket_group(methods, steps)
    images = next(iter(group.data.train_dataloader()))[PARTITION].images
    features = group.stages[0].main.train(images)
    phis, other, identity = (run.arm for run in group.runs)

    def step(*arms: Arm) -> None:
        targets = SharedTargets(arms).of if len(arms) > 1 else TeacherSpace.targets
        for arm in arms:
            arm.step({PARTITION: View(images, features[arm.grid_at()])}, 1, schedule(steps), targets)

    check = "same features and batches"
    row = Comparison("step", "an arm with PHI-S, teachers aside", "one with `identity`", "at most 1.05", check)
    in_turns(row, lambda: step(phis), lambda: step(identity))
    row.limit = matrix_limit(lambda: step(phis), 1, row.fastest, group.options.low_precision)
    yield row
    ours, peer = "two seeds with PHI-S, teachers aside", "two steps of one with `identity`"
    row = Comparison("step", ours, peer, "at most 1.05", check)
    yield in_turns(row, lambda: step(phis, other), lambda: [step(identity), step(identity)])


class BareLoop:
    """What one would write by hand for one arm with MSE and cosine: no trainer, no check of anything.

    Args:
        group: its only arm, teachers and data are used.
    """

    def __init__(self, group: Group) -> None:
        self.arm = group.runs[0].arm
        self.group, self.start = group, snapshot(self.arm)
        self.losses: list[float] = []

    def __call__(self) -> Seconds:
        """Train once; the seconds from the end of the first step to the end of the last."""
        restart(self.arm, self.start)
        arm, pool, dtype = self.arm, self.group.stages[0].main.train.pool, self.group.options.low_precision
        optimizer = torch.optim.AdamW(_decayed_apart(arm), betas=(0.9, 0.99), fused=True)
        self.losses, ends = [], []
        for step, batches in enumerate(self.group.data.train_dataloader()):
            batch = batches[PARTITION]
            features = pool(batch.images)
            with low_products("cpu", dtype):
                predictions = arm.student(batch.images)[1]
            terms = []
            for name, target in features.items():
                goal = arm.space(name).spatial(match_grid(target.spatial, arm.grid_at()))
                terms.append((predictions[name].spatial.float() - goal).square().mean())
                if target.summary is not None:
                    said = predictions[name].summary.float()
                    terms.append((1 - torch.nn.functional.cosine_similarity(said, target.summary, dim=-1)).mean())
            loss = torch.stack(terms).sum()
            arm.recipe.set_rate(optimizer, step, schedule(STEPS))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            self.losses.append(loss.item())
            ends.append(time.perf_counter())
        return steady(ends)


def _decayed_apart(arm: Arm) -> list[dict[str, object]]:
    """Weight decay on matrices only, as in the recipe."""
    free = ("_token", "positions.embedding")
    plain = {name for name, p in arm.student.named_parameters() if p.ndim <= 1 or name.endswith(free)}
    named = dict(arm.student.named_parameters())
    return [
        {"params": [p for name, p in named.items() if name not in plain], "weight_decay": arm.recipe.weight_decay},
        {"params": [named[name] for name in plain], "weight_decay": 0.0},
    ]
