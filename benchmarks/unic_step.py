"""One training step of UNIC's recipe at pocket size, against the same step written by hand in plain torch."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, gelu, linear, smooth_l1_loss

from benchmarks.harness import Comparison, Seconds, in_turns
from benchmarks.limits import matrix_limit
from benchmarks.pocket import PARTITION, Training, pocket_group, restart, schedule, snapshot, steady
from phis_lab.engine import Group
from phis_lab.features import Features, match_grid

STEPS = 4
PROBABILITY = 0.25
EPSILON = 1e-6
LAST_MOMENTUM = 1e-3
RECIPE = (
    "teachers=pocket_pair",
    "normalizer=ema_standardize",
    "head=ladder",
    "loss=unic",
    "balancer=teacher_dropping",
    "estimation=first_batch",
    f"balancer.probability={PROBABILITY}",
)
"""The choices of `experiment=unic/full`, with two teachers as in its row of the paper's table."""


def run() -> Iterator[Comparison]:
    """Time a few steps of each, teachers and data loading included."""
    group = pocket_group([RECIPE], STEPS)
    ours, plain = Training.of(group), PlainLoop(group)
    ours()
    plain()
    losses = zip(next(iter(ours.losses.values())), plain.losses, strict=True)
    difference = max(abs(a - b) / abs(b) for a, b in losses)
    assert difference < 1e-4, f"losses differ by {difference} of themselves"
    check = f"losses of {STEPS} steps with the same draws agree to {difference:.0e} of themselves"
    name = "`experiment=unic/full` on two teachers"
    row = Comparison("unic_step", name, "the same step by hand in plain torch", "at most 1.05", check)
    in_turns(row, ours, plain)
    row.limit = matrix_limit(plain, STEPS, row.fastest / (STEPS - 1), group.options.low_precision)
    yield row


class PlainLoop:
    """UNIC for one arm as plain tensors around the same teachers, backbone and parameters: no trainer, no check.

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
        arm, pool = self.arm, self.group.stages[0].main.train.pool
        generator = torch.Generator()
        generator.set_state(self.start["modules"][f"balancers.{PARTITION}._extra_state"])
        averages: dict[tuple[str, str], Average] = {}
        self.losses, ends = [], []
        for step, batches in enumerate(self.group.data.train_dataloader()):
            images = batches[PARTITION].images
            features = pool(images)
            predictions = self.predict(images)
            momentum = momentum_at(step / schedule(STEPS))
            rows = []
            for name, target in features.items():
                terms = []
                for kind, wanted in self.targets(target).items():
                    average = averages.setdefault((name, kind), Average(wanted.shape[-1]))
                    terms.append(distance(predictions[name, kind].float(), average.standardize(wanted, momentum)))
                rows.append(torch.stack(terms).mean(dim=0))
            loss = kept_mean(torch.stack(rows), generator)
            arm.recipe.set_rate(arm.optimizer, step, schedule(STEPS))
            loss.backward()
            arm.optimizer.step()
            arm.optimizer.zero_grad(set_to_none=True)
            self.losses.append(loss.item())
            ends.append(time.perf_counter())
        return steady(ends)

    def targets(self, features: Features) -> dict[str, Tensor]:
        """Features of a teacher on the student's grid; a kind that it lacks is left out."""
        kinds = {"spatial": match_grid(features.spatial, self.arm.grid_at()), "summary": features.summary}
        return {kind: wanted for kind, wanted in kinds.items() if wanted is not None}

    def predict(self, images: Tensor) -> dict[tuple[str, str], Tensor]:
        """The ladder of every teacher and kind of token on the raw outputs of the blocks."""
        student, dtype = self.arm.student, self.group.options.low_precision
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            blocks = student.backbone.forward_blocks(images)[1]
            tokens = {
                "spatial": [block.spatial for block in blocks],
                "summary": [block.summary for block in blocks],
            }
            heads: Mapping[str, nn.ModuleDict] = {"spatial": student.spatial_heads, "summary": student.summary_heads}
            return {
                (name, kind): ladder(head.projectors.values(), tokens[kind])
                for kind, by_teacher in heads.items()
                for name, head in by_teacher.items()
            }


class Average:
    """UNIC's running mean and deviation of each channel, in float32."""

    def __init__(self, dim: int) -> None:
        self.mean, self.deviation = torch.zeros(dim), torch.ones(dim) + EPSILON

    def standardize(self, x: Tensor, momentum: float) -> Tensor:
        """By the batches before; then the batch is taken in."""
        standardized = (x - self.mean) / self.deviation
        deviation, mean = torch.std_mean(x.flatten(0, -2), dim=0)
        self.mean.lerp_(mean, momentum)
        self.deviation.lerp_(deviation + 2 * EPSILON, momentum)
        return standardized


def momentum_at(progress: float) -> float:
    """Half a cosine from 1 to 0.001: the weight of the new batch."""
    return LAST_MOMENTUM + (1 - LAST_MOMENTUM) * (1 + math.cos(math.pi * progress)) / 2


def ladder(projectors: Sequence[nn.Module], tokens_by_block: Sequence[Tensor]) -> Tensor:
    """The sum of a perceptron of two layers per block."""
    said = []
    for perceptron, tokens in zip(projectors, tokens_by_block, strict=True):
        first, last = perceptron.input, perceptron.output
        said.append(linear(gelu(linear(tokens, first.weight, first.bias)), last.weight, last.bias))
    return sum(said[1:], start=said[0])


def distance(said: Tensor, wanted: Tensor) -> Tensor:
    """Half cosine and half smooth L1, a mean over the tokens of each image."""
    cosine = 1 - cosine_similarity(said, wanted, dim=-1)
    smooth = smooth_l1_loss(said, wanted, reduction="none").mean(dim=-1)
    return ((cosine + smooth) / 2).reshape(len(said), -1).mean(dim=1)


def kept_mean(rows: Tensor, generator: torch.Generator) -> Tensor:
    """The mean over the pairs of teacher and image that are not dropped: each image keeps its worst teacher."""
    kept = torch.rand(rows.shape, generator=generator) >= PROBABILITY
    kept |= rows == rows.max(dim=0).values
    return (rows * kept).sum() / kept.sum()
