"""Schedules and weight-decay groups."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from phis_lab.distill import OptimizerRecipe


@given(warmup=st.floats(0, 0.9), final=st.floats(0, 1), max_steps=st.integers(1, 500))
def test_the_rate_rises_to_its_peak_then_falls_to_its_final_share(warmup: float, final: float, max_steps: int) -> None:
    recipe = OptimizerRecipe(torch.optim.SGD, lr=0.1, warmup=warmup, final=final)
    optimizer = recipe.build(nn.Linear(2, 2))
    rates = [recipe.set_rate(optimizer, step, max_steps) for step in range(max_steps)]
    peak = rates.index(max(rates))
    assert max(rates) <= 0.1 + 1e-12
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert min(rates[peak:]) >= 0.1 * final - 1e-12
    assert optimizer.param_groups[0]["lr"] == rates[-1]


def test_the_cosine_matches_torch_without_warmup() -> None:
    ours = OptimizerRecipe(torch.optim.SGD, lr=0.3, warmup=0.0, final=0.0)
    module = nn.Linear(1, 1)
    optimizer, reference = ours.build(module), torch.optim.SGD(module.parameters(), lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(reference, 50)
    for step in range(50):
        assert ours.set_rate(optimizer, step, 50) == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        reference.step()
        schedule.step()


def test_only_matrices_decay() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    module.register_parameter("cls_token", nn.Parameter(torch.zeros(1, 1, 4)))
    decayed, free = OptimizerRecipe(torch.optim.AdamW, lr=0.1, weight_decay=0.5).build(module).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] == 0.5
    assert free["weight_decay"] == 0.0
    assert len(free["params"]) == 4
