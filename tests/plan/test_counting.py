"""Operations and bytes of a pass, against closed forms."""

import pytest
import torch
from timm.models import VisionTransformer
from torch import nn

from phis_lab.plan.counting import cost_of

WIDTH, DEPTH, PATCH, SIDE = 96, 3, 8, 32
TOKENS = (SIDE // PATCH) ** 2 + 1


@pytest.fixture(params=["meta", "cpu"])
def vit(request):
    with torch.device(request.param):
        model = VisionTransformer(
            img_size=SIDE, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=4, num_classes=0
        )
    return model.eval(), torch.zeros(1, 3, SIDE, SIDE, device=request.param)


def test_operations_of_a_vit_are_those_of_the_closed_form(vit):
    model, images = vit
    patches = 2 * (TOKENS - 1) * 3 * PATCH**2 * WIDTH
    linear = 2 * TOKENS * WIDTH * (3 * WIDTH + WIDTH + 4 * WIDTH + 4 * WIDTH)
    attention = 2 * 2 * TOKENS**2 * WIDTH
    cost = cost_of(model, lambda: model(images), [images])
    assert cost.flops == patches + DEPTH * (linear + attention)


def test_a_training_pass_keeps_about_34_bytes_per_token_channel_and_block_in_16_bits(vit):
    model, images = vit
    cost = cost_of(model, lambda: model(images), [images])
    assert cost.saved_bytes / 2 == pytest.approx(34 * TOKENS * WIDTH * DEPTH, rel=0.15)


def test_a_frozen_pass_keeps_nothing_and_peaks_where_two_layers_meet():
    model, x = nn.Sequential(nn.Linear(10, 1000), nn.Linear(1000, 20)).requires_grad_(False), torch.zeros(1, 10)
    cost = cost_of(model, lambda: model(x), [x])
    assert (cost.flops, cost.saved_bytes) == (2 * 10 * 1000 + 2 * 1000 * 20, 0)
    assert cost.peak_bytes == 4 * (1000 + 20)
