import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from phis_lab.engine import OptimizerRecipe
from phis_lab.students import TimmViT, ViT


def small(**options):
    return ViT(**{"image_size": 32, "patch_size": 8, "width": 24, "depth": 2, "heads": 2} | options)


def timms_tokens(student, images):
    """What timm's own network of the same weights makes of normalised images."""
    reference = copy.deepcopy(student.vit)
    positions = student.positions.embedding.detach().flatten(0, 1)
    nothing = torch.zeros(reference.num_prefix_tokens, student.width)
    reference.pos_embed = nn.Parameter(torch.cat([nothing, positions])[None])
    return reference.eval().forward_features(images)


def images(size=32, batch=2):
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_the_default_is_the_pocket_student_of_sixteen_tokens():
    vit = ViT()
    assert (vit.image_size, vit.grid, vit.width) == (64, (4, 4), 192)
    assert sum(parameter.numel() for parameter in vit.parameters()) == pytest.approx(2.8e6, rel=0.02)


@given(grid=st.integers(1, 4), patch=st.sampled_from([4, 8]), heads=st.integers(1, 3))
def test_the_tokens_have_the_announced_shapes(grid, patch, heads):
    vit = small(image_size=grid * patch, patch_size=patch, width=8 * heads, heads=heads, depth=1)
    features = vit(images(vit.image_size))
    assert features.summary.shape == (2, vit.width)
    assert features.spatial.shape == (2, *vit.grid, vit.width)
    assert vit.grid == (grid, grid)


def test_summary_and_spatial_are_timms_tokens_of_normalised_images():
    vit = small().eval()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    tokens = timms_tokens(vit, (images() - mean) / std)
    features = vit(images())
    assert_close(features.summary, tokens[:, 0])
    assert_close(features.spatial[:, 1, 2], tokens[:, 1 + 4 * 1 + 2])


def test_tokens_come_after_the_final_norm():
    features = small()(images())
    assert_close(features.spatial.mean(dim=-1), torch.zeros(2, 4, 4), atol=1e-5, rtol=0)
    assert_close(features.spatial.var(dim=-1, correction=0), torch.ones(2, 4, 4), atol=1e-2, rtol=0)


def test_images_of_another_size_are_resized():
    vit = small().eval()
    constant = torch.full((1, 3, 32, 32), 0.3)
    larger = torch.full((1, 3, 50, 70), 0.3)
    assert_close(vit(larger).spatial, vit(constant).spatial, atol=1e-4, rtol=1e-4)


def test_the_gradient_reaches_every_parameter():
    vit = small()
    features = vit(images())
    (features.summary[:, 0].sum() + features.spatial[..., 0].square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in vit.parameters())


def test_the_same_seed_gives_the_same_initialisation():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(small().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["vit.cls_token"], states[2]["vit.cls_token"])


def test_the_colour_constants_are_no_part_of_the_weights():
    assert all(name.startswith(("vit.", "positions.")) for name in small().state_dict())


def test_an_image_that_cannot_be_cut_into_patches_is_refused():
    with pytest.raises(ValueError, match="multiple of the patch of 8, got 36"):
        small(image_size=36)
    with pytest.raises(ValueError, match="multiple of the patch of 16, got 40"):
        TimmViT("vit_tiny_patch16_224", image_size=40, pretrained=False)


def test_a_width_that_cannot_be_cut_into_heads_is_refused():
    with pytest.raises(ValueError, match="got width 25 and 2 heads"):
        small(width=25)


@pytest.mark.parametrize(
    "options", [{}, {"cpe_max_size": 64}, {"spectral": True}, {"cpe_max_size": 64, "spectral": True}]
)
def test_other_image_sizes_have_other_grids(options):
    vit = small(**options).eval()
    assert vit.grid_at(1.5) == (6, 6)
    assert vit.image_size_at(0.6) == 16
    assert vit(images(), vit.image_size_at(1.5)).spatial.shape == (2, 6, 6, 24)


def test_images_larger_than_the_cropped_positions_are_refused():
    with pytest.raises(ValueError, match=r"images of 64 px exceed student\.cpe_max_size=32"):
        small(cpe_max_size=32).grid_at(2.0)


def test_position_embeddings_and_tokens_do_not_decay():
    recipe = OptimizerRecipe(torch.optim.AdamW, 1e-3, weight_decay=0.1)
    vit = small(spectral=True)
    free = {id(p) for group in recipe.build(vit).param_groups if group["weight_decay"] == 0 for p in group["params"]}
    names = dict(vit.named_parameters())
    assert {id(names["vit.cls_token"]), id(names["positions.embedding"])} <= free
    scales = [parameter for name, parameter in names.items() if name.endswith("scale")]
    assert scales
    assert not {id(scale) for scale in scales} & free


def test_layer_scale_multiplies_what_a_block_adds_by_learned_factors():
    plain, scaled = small(depth=1), small(depth=1, layer_scale=0.5)
    factors = {name: parameter for name, parameter in scaled.named_parameters() if name.endswith("gamma")}
    assert {tuple(factor.unique().tolist()) for factor in factors.values()} == {(0.5,)}
    assert len(factors) == 2
    scaled.load_state_dict(plain.state_dict(), strict=False)
    for factor in factors.values():
        factor.data.fill_(1.0)
    assert_close(scaled(images()).spatial, plain(images()).spatial)
