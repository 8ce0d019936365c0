"""One training step of UNIC's recipe at pocket size, against the same step written by hand in plain torch."""

import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.harness import Comparison, Seconds, in_turns
from benchmarks.limits import matrix_limit
from benchmarks.pocket import PARTITION, Training, pocket_group, restart, schedule, snapshot, steady
from phis_lab.distill import Group
from phis_lab.students.ladder import LadderHead
from phis_lab.teachers import Features, match_grid

STEPS = 6
EPSILON = 1e-6
LAST_MOMENTUM = 1e-3
PROBABILITY = 0.25
RECIPE = (
    "normalizer=ema_standardize",
    "head=ladder",
    "loss=unic",
    "balancer=teacher_dropping",
    "estimation=first_batch",
    f"balancer.probability={PROBABILITY}",
)


def run() -> Iterator[Comparison]:
    """Time a few steps of each, teachers and data loading included."""
    group = pocket_group([RECIPE], STEPS)
    ours, plain = Training.of(group), PlainLoop(group)
    ours()
    plain()
    losses = zip(next(iter(ours.losses.values())), plain.losses, strict=True)
    difference = max(abs(a - b) / abs(b) for a, b in losses)
    assert difference < 1e-4, f"losses differ by {difference} of themselves"
    check = f"losses of {STEPS} steps agree to {difference:.0e} of themselves, with the same draws"
    row = Comparison("unic_step", "`experiment=unic/full`", "its step by hand in plain torch", "at most 1.05", check)
    in_turns(row, ours, plain)
    row.limit = matrix_limit(plain, STEPS, row.fastest / (STEPS - 1), group.options.low_precision)
    yield row


class PlainLoop:
    """UNIC for one arm with nothing but tensors around the same teachers, backbone and parameters of the heads.

    Args:
        group: its only arm, teachers and data are used.
    """

    def __init__(self, group: Group) -> None:
        (self.arm,) = group.arms.values()
        self.group, self.start = group, snapshot(self.arm)
        self.draws = self.start["modules"][f"balancers.{PARTITION}._extra_state"]
        self.losses: list[float] = []

    def __call__(self) -> Seconds:
        """Train once; the seconds from the end of the first step to the end of the last."""
        restart(self.arm, self.start)
        arm, pool, dtype = self.arm, self.group.stages[0].main.train.pool, self.group.options.low_precision
        generator = torch.Generator()
        generator.set_state(self.draws)
        averages: dict[tuple[str, str], Average] = {}
        self.losses, ends = [], []
        for step, batches in enumerate(self.group.data.train_dataloader()):
            momentum = momentum_at(step / schedule(STEPS))
            images = batches[PARTITION].images
            features = pool(images)
            with torch.autocast("cpu", dtype, enabled=dtype is not None):
                blocks = arm.student.backbone.forward_blocks(images)[1]
                predictions = {name: self.predict(name, blocks) for name in features}
            rows = []
            for name, target in features.items():
                kinds = {"spatial": match_grid(target.spatial, arm.grid_at()), "summary": target.summary}
                terms = []
                for kind, wanted in kinds.items():
                    if wanted is not None:
                        average = averages.setdefault((name, kind), Average(wanted.shape[-1]))
                        terms.append(distance(predictions[name][kind].float(), average.standardize(wanted, momentum)))
                rows.append(torch.stack(terms).mean(dim=0))
            loss = dropped(torch.stack(rows), generator)
            arm.recipe.set_rate(arm.optimizer, step, schedule(STEPS))
            loss.backward()
            arm.optimizer.step()
            arm.optimizer.zero_grad(set_to_none=True)
            self.losses.append(loss.item())
            ends.append(time.perf_counter())
        return steady(ends)

    def predict(self, teacher: str, blocks: Sequence[Features]) -> dict[str, Tensor]:
        """The ladder of a teacher for patches and, where it has one, for its summary."""
        student = self.arm.student
        said = {"spatial": ladder(student.spatial_heads[teacher], [block.spatial for block in blocks])}
        if teacher in student.summary_heads:
            said["summary"] = ladder(student.summary_heads[teacher], [block.summary for block in blocks])
        return said


class Average:
    """UNIC's running mean and deviation of each channel, in float32."""

    def __init__(self, dim: int) -> None:
        self.mean, self.deviation = torch.zeros(dim), torch.ones(dim) + EPSILON

    def standardize(self, x: Tensor, momentum: float) -> Tensor:
        """By the batches before; then the batch is taken in."""
        y = (x - self.mean) / self.deviation
        deviation, mean = torch.std_mean(x.flatten(0, -2), dim=0)
        self.mean.lerp_(mean, momentum)
        self.deviation.lerp_(deviation + 2 * EPSILON, momentum)
        return y


def momentum_at(progress: float) -> float:
    """Half a cosine from 1 to 0.001."""
    return LAST_MOMENTUM + (1 - LAST_MOMENTUM) * (1 + math.cos(math.pi * progress)) / 2


def ladder(head: LadderHead, blocks: Sequence[Tensor]) -> Tensor:
    """The sum of a two-layer perceptron per block."""
    total: Tensor | float = 0.0
    for tokens, mlp in zip(blocks, head.projectors.values(), strict=True):
        hidden = F.gelu(F.linear(tokens, mlp.input.weight, mlp.input.bias))
        total = total + F.linear(hidden, mlp.output.weight, mlp.output.bias)
    return total


def distance(said: Tensor, wanted: Tensor) -> Tensor:
    """Half cosine and half smooth L1, one number per image."""
    cosine = 1 - F.cosine_similarity(said, wanted, dim=-1)
    smooth = F.smooth_l1_loss(said, wanted, reduction="none").mean(dim=-1)
    return (cosine + smooth).flatten(1).mean(dim=1) / 2 if said.ndim > 2 else (cosine + smooth) / 2


def dropped(rows: Tensor, generator: torch.Generator) -> Tensor:
    """The mean over kept pairs of teacher and image."""
    kept = torch.rand(rows.shape, generator=generator) >= PROBABILITY
    kept |= rows == rows.max(dim=0).values
    return (rows * kept).sum() / kept.sum()
