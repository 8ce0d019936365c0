import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers import SwiGLUPacked
from timm.models import VisionTransformer
from torch import nn
from torch.nn.utils import parametrize
from torch.testing import assert_close

from phis_lab.engine import OptimizerRecipe
from phis_lab.students import MLPHead
from phis_lab.students.spectral import SpectralReparametrization, remove, reparametrize


def make_vit(seed=0, **options):
    torch.manual_seed(seed)
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 0}
    return VisionTransformer(**sizes | options)


def images():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def largest(matrix):
    return torch.linalg.svdvals(matrix.detach().double())[0].float()


def linear_layers(module):
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}


def spectral(layer):
    return layer.parametrizations["weight"][0]


def disturb(module, by=0.1):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=by)


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), parts=st.integers(1, 3), seed=st.integers(0, 99))
def test_gamma_is_the_largest_singular_value_of_each_part(rows, columns, parts, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(parts * rows, columns, generator=generator, dtype=torch.float64)
    parametrization = SpectralReparametrization(weight, parts).eval()
    with torch.no_grad():
        parametrization.scale += torch.randn(parts, 1, generator=generator)
    effective = parametrization(3.7 * weight).detach()
    for part, gamma in zip(effective.chunk(parts), parametrization.gamma, strict=True):
        assert_close(torch.linalg.svdvals(part)[:1], gamma.detach())


@pytest.mark.parametrize("training", [True, False])
def test_the_function_is_unchanged_at_the_start(training):
    vit = make_vit().train(training)
    before = vit(images())
    after = reparametrize(vit)(images())
    assert_close(after, before, atol=2e-6, rtol=1e-5)


def test_the_blocks_of_a_transformer_are_reparametrised_and_nothing_else():
    vit = reparametrize(make_vit(num_classes=7))
    parametrised = {name for name, layer in vit.named_modules() if parametrize.is_parametrized(layer)}
    kinds = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert parametrised == {f"blocks.{block}.{kind}" for block in (0, 1) for kind in kinds}
    parts = {name: len(spectral(layer).scale) for name, layer in linear_layers(vit.blocks).items()}
    assert all(count == (3 if name.endswith("qkv") else 1) for name, count in parts.items())


def test_heads_and_gated_layers_are_reparametrised_when_given():
    head = reparametrize(MLPHead(8, 6, hidden=10))
    assert [len(spectral(layer).scale) for layer in (head.input, head.output)] == [1, 1]
    gated = make_vit(mlp_layer=SwiGLUPacked, mlp_ratio=2.0)
    disturb(gated)  # timm starts the gate at nearly zero
    reparametrize(gated)
    assert len(spectral(gated.blocks[0].mlp.fc1).scale) == 2
    assert len(spectral(gated.blocks[0].mlp.fc2).scale) == 1


def test_a_single_layer_may_be_given():
    assert parametrize.is_parametrized(reparametrize(nn.Linear(3, 4)), "weight")


def test_queries_keys_and_values_have_a_scale_each():
    vit = make_vit()
    with torch.no_grad():
        vit.blocks[0].attn.qkv.weight.view(3, 24, 24).mul_(torch.tensor([1.0, 2.0, 5.0]).view(3, 1, 1))
    raw = vit.blocks[0].attn.qkv.weight.detach().chunk(3)
    qkv = reparametrize(vit).blocks[0].attn.qkv
    assert_close(spectral(qkv).gamma.detach().flatten(), torch.stack([largest(part) for part in raw]))


def test_power_iteration_finds_the_singular_value_of_a_weight_that_moves():
    torch.manual_seed(0)
    layer = reparametrize(nn.Linear(12, 9))
    disturb(layer, by=0.5)
    for _ in range(200):
        effective = layer.weight
    assert_close(largest(effective), spectral(layer).gamma[0, 0].detach(), atol=1e-4, rtol=1e-4)


def test_one_iteration_in_training_and_none_in_evaluation():
    torch.manual_seed(0)
    layer = reparametrize(nn.Linear(12, 9))
    disturb(layer)
    weight, u = layer.parametrizations.weight.original.detach(), spectral(layer).u[0].clone()
    layer.eval()(torch.zeros(1, 12))
    assert torch.equal(spectral(layer).u[0], u)
    layer.train()(torch.zeros(1, 12))
    v = nn.functional.normalize(weight.T @ u, dim=0)
    assert_close(spectral(layer).v[0], v)
    assert_close(spectral(layer).u[0], nn.functional.normalize(weight @ v, dim=0))


def test_the_gradient_is_that_of_the_formula():
    torch.manual_seed(0)
    layer = reparametrize(nn.Linear(6, 5, dtype=torch.float64))
    x, target = torch.randn(7, 6, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64)
    (layer(x) * target).sum().backward()
    weight, gamma = layer.parametrizations.weight.original, spectral(layer).gamma.detach()
    left, values, right = torch.linalg.svd(weight.detach())
    sigma, toward = values[0], target.T @ x
    along = (toward * weight.detach()).sum() / sigma
    assert_close(weight.grad, gamma / sigma * (toward - along * torch.outer(left[:, 0], right[0])))
    assert_close(spectral(layer).scale.grad, (along * spectral(layer).scale.detach().sigmoid()))


def test_two_passes_before_one_backward_pass():
    torch.manual_seed(0)
    layer = reparametrize(nn.Linear(6, 5, bias=False))
    x = torch.randn(4, 6)
    weight = layer.parametrizations.weight.original
    (layer(x).square().sum() + layer(2 * x).square().sum()).backward()
    both = weight.grad.clone()
    weight.grad = None
    layer(x).square().sum().backward()
    assert_close(both, 5 * weight.grad, atol=1e-4, rtol=1e-4)


def test_weight_decay_takes_hold_of_the_scale():
    recipe = OptimizerRecipe(torch.optim.AdamW, lr=1e-3, weight_decay=0.02)
    layer = reparametrize(nn.Linear(6, 5))
    decayed, free = recipe.build(layer).param_groups
    assert any(parameter is spectral(layer).scale for parameter in decayed["params"])
    assert [parameter.ndim for parameter in free["params"]] == [1]


@pytest.mark.parametrize("training", [True, False])
def test_remove_leaves_plain_layers_of_the_same_function(training):
    vit = reparametrize(make_vit())
    disturb(vit)
    vit.eval()
    before = vit(images())
    plain = remove(vit.train(training))
    assert plain.training is training
    assert not any(parametrize.is_parametrized(layer) for layer in plain.modules())
    assert set(plain.state_dict()) == set(make_vit().state_dict())
    assert_close(plain.eval()(images()), before, atol=1e-6, rtol=1e-6)


def test_remove_leaves_the_original_of_a_copy_at_work():
    vit = reparametrize(make_vit()).eval()
    before = vit(images())
    remove(copy.deepcopy(vit))
    assert torch.equal(vit(images()), before)
    assert parametrize.is_parametrized(vit.blocks[0].attn.qkv, "weight")


def test_remove_leaves_other_modules_alone():
    layer = nn.Linear(3, 4)
    assert remove(layer) is layer


def test_the_state_returns_into_another_instance():
    vit, other = reparametrize(make_vit(0)), reparametrize(make_vit(1))
    disturb(vit)
    vit(images())
    other.load_state_dict(vit.state_dict())
    assert torch.equal(other.eval()(images()), vit.eval()(images()))
    assert torch.equal(other.train()(images()), vit.train()(images()))


def test_a_deep_copy_is_equal_and_independent():
    vit = reparametrize(make_vit())
    other = copy.deepcopy(vit)
    assert torch.equal(other.eval()(images()), vit.eval()(images()))
    disturb(other)
    assert not torch.equal(other(images()), vit(images()))


def test_autocast_multiplies_in_bfloat16_and_keeps_the_weight_in_float32():
    layer = reparametrize(nn.Linear(12, 9))
    exact = layer.eval().weight
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(2, 12)).dtype == torch.bfloat16
        assert torch.equal(layer.weight, exact)
        layer.train()(torch.ones(2, 12)).float().sum().backward()
    assert layer.parametrizations.weight.original.grad.dtype == torch.float32


def test_making_it_draws_no_random_numbers():
    vit = make_vit()
    state = torch.get_rng_state()
    reparametrize(vit)(images())
    assert torch.equal(torch.get_rng_state(), state)


def test_what_cannot_be_reparametrised_is_refused():
    with pytest.raises(ValueError, match="LayerNorm has none"):
        reparametrize(nn.LayerNorm(3))
    with pytest.raises(ValueError, match="parametrised already"):
        reparametrize(reparametrize(nn.Linear(3, 4)))
    with pytest.raises(ValueError, match=r"above 0\.05, got 0"):
        SpectralReparametrization(torch.zeros(4, 4))
    with pytest.raises(ValueError, match="3 parts needs a multiple of as many rows, got 4"):
        SpectralReparametrization(torch.zeros(4, 4), 3)
