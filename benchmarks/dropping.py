"""Teacher dropping, forward and backward, against the loop over images and teachers that its definition suggests."""

import copy
import random
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.harness import Comparison, in_turns, timed
from benchmarks.memory_use import PeakMemory
from phis_lab.losses import TeacherDropping

PROBABILITY = 0.5
SHAPES = ((2, 128), (4, 512), (8, 1024))
CALLS = 8


def run() -> Iterator[Comparison]:
    """The paper's batch on one GPU, its whole batch, and eight teachers."""
    for teachers, images in SHAPES:
        yield _row(torch.rand(teachers, images, generator=torch.Generator().manual_seed(0)))


def _row(losses: Tensor) -> Comparison:
    balancer = TeacherDropping(PROBABILITY)
    draws = torch.rand(losses.shape, generator=copy.deepcopy(balancer)._generator).tolist()
    positions = iter((teacher, image) for image in range(losses.shape[1]) for teacher in range(len(losses)))
    worst = losses.argmax(dim=0).tolist()
    drawn = (draws[teacher][image] for teacher, image in positions if teacher != worst[image])
    expected = _gradient(lambda rows: _loop(rows, drawn.__next__), losses)
    error = float((_gradient(balancer, losses) - expected).abs().max() / expected.abs().max())
    assert error < 1e-5, error
    name = f"`TeacherDropping`, {len(losses)} teachers, {losses.shape[1]} images, with backward"
    check = f"gradients of the same draws within {error:.0e}"
    row = Comparison("dropping", name, "loop over images and teachers", "at most 1/10", check)
    in_turns(row, _repeated(balancer, losses), _repeated(lambda rows: _loop(rows, random.random), losses))
    plain = _repeated(lambda rows: rows.mean(), losses)
    plain()
    mean = min(timed(plain, PeakMemory()) for _ in range(7))
    row.limit = f"the plain mean, with backward: ours takes {row.fastest / mean:.1f} times as long"
    return row


def _loop(rows: Tensor, draw: Callable[[], float]) -> Tensor:
    """Decides pair by pair; the highest loss of an image needs no draw."""
    coefficients = torch.ones_like(rows)
    for image in range(rows.shape[1]):
        worst = rows[:, image].argmax()
        for teacher in range(len(rows)):
            if teacher != worst and draw() < PROBABILITY:
                coefficients[teacher, image] = 0
    return (coefficients * rows).sum() / coefficients.sum()


def _gradient(balance: Callable[[Tensor], Tensor], losses: Tensor) -> Tensor:
    rows = losses.clone().requires_grad_()
    return torch.autograd.grad(balance(rows), rows)[0]


def _repeated(balance: Callable[[Tensor], Tensor], losses: Tensor) -> Callable[[], None]:
    def several() -> None:
        for _ in range(CALLS):
            _gradient(balance, losses)

    return several
