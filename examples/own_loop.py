"""PHI-S in a training loop of your own: torch and phis_lab's normalisers, nothing else of the bench.

Run: python examples/own_loop.py
"""

import torch
from torch import nn

from phis_lab.linalg import Moments
from phis_lab.losses import mse
from phis_lab.normalizers import PhiS

CHANNELS, TOKENS, STEPS = 96, 16, 200


def main() -> float:
    """Distil a random teacher, whose first channel is a hundred times as loud, into a linear student."""
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, CHANNELS)).requires_grad_(False)
    loud = torch.ones(CHANNELS)
    loud[0] = 100.0
    student = nn.Linear(32, CHANNELS)

    # 1. Stream the teacher's features once: count, mean and covariance, in float64.
    moments = Moments(CHANNELS)
    for _ in range(20):
        moments.update(teacher(torch.randn(64, TOKENS, 32)) * loud)

    # 2. Fit the normaliser. Every channel of its output has variance 1, under one scale.
    phis = PhiS(CHANNELS).fit(moments)

    # 3. Match normalised targets.
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
    for _ in range(STEPS):
        x = torch.randn(64, TOKENS, 32)
        loss = mse(student(x), phis(teacher(x) * loud)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    # 4. Fold the inverse into the last layer: the student answers in the teacher's own space, at no cost.
    answers = phis.fold_into(student)
    x = torch.randn(256, TOKENS, 32)
    wanted = teacher(x) * loud
    fidelity = wanted.var() / (answers(x) - wanted).square().mean()
    print(f"loss {loss.item():.3f}, fidelity in the teacher's own space {fidelity.item():.1f}")  # noqa: T201
    return fidelity.item()


if __name__ == "__main__":
    main()
