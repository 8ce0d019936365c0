"""Schedules and weight-decay groups."""

from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from phis_lab.config.build import build
from phis_lab.engine import OptimizerRecipe
from phis_lab.students import ViT

OPTIONS = sorted((Path(__file__).parents[2] / "conf" / "optimizer").glob("*.yaml"))


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


def decayed_names(*, decay_embeddings: bool) -> set[str]:
    backbone = ViT(image_size=16, patch_size=8, width=8, depth=1, heads=2)
    names = {id(parameter): name for name, parameter in backbone.named_parameters()}
    recipe = OptimizerRecipe(torch.optim.AdamW, lr=0.1, weight_decay=0.5, decay_embeddings=decay_embeddings)
    decayed = next(group for group in recipe.build(backbone).param_groups if group["weight_decay"])
    return {names[id(parameter)] for parameter in decayed["params"]}


def test_tokens_and_position_embeddings_decay_where_a_recipe_says_so() -> None:
    embeddings = {"vit.cls_token", "positions.embedding"}
    assert decayed_names(decay_embeddings=True) - decayed_names(decay_embeddings=False) == embeddings


@pytest.mark.parametrize("file", OPTIONS, ids=lambda file: file.stem)
def test_an_optimizer_clips_nothing_unless_clip_says_so(file: Path) -> None:
    """What it remembers of a gradient is proportional to the gradient, however large that is."""
    remembered = []
    for size in (1.0, 1000.0):
        module = nn.Linear(3, 2)
        recipe = build({**yaml.safe_load(file.read_text()), "clip": None}, "optimizer")
        optimizer = recipe.build(module)
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, size)
        optimizer.step()
        state = optimizer.state[module.weight]
        remembered.append(state["exp_avg" if "exp_avg" in state else "momentum_buffer"] / size)
    assert torch.allclose(*remembered)
