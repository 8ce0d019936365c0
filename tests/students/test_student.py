from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from phis_lab.students import MLPHead, Student, ViT

TEACHERS = {"clip": (10, 12), "sam": (None, 20), "embedder": (7, None)}


def student(teachers=TEACHERS, head=MLPHead):
    return Student(ViT(image_size=32, patch_size=8, width=24, depth=1, heads=2), head, teachers)


def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_head_is_linear_norm_gelu_linear():
    head = MLPHead(6, 4, 5)
    x = torch.randn(2, 3, 6)
    expected = nn.Sequential(head.input, head.norm, nn.GELU(), head.output)(x)
    assert isinstance(head.norm, nn.LayerNorm)
    assert_close(head(x), expected)


@pytest.mark.parametrize(
    ("options", "width"),
    [({"hidden": 5}, 5), ({"hidden": 5, "widest": 9}, 5), ({"hidden": None, "widest": 9}, 9), ({}, 4)],
)
def test_the_hidden_width_is_given_or_the_widest_or_the_output(options, width):
    assert MLPHead(6, 4, **options).output.in_features == width


def test_every_teacher_is_predicted_in_its_own_shapes():
    tokens, predictions = student()(images())
    assert tokens.summary.shape == (2, 24)
    assert tokens.spatial.shape == (2, 4, 4, 24)
    assert list(predictions) == list(TEACHERS)
    assert predictions["clip"].summary.shape == (2, 10)
    assert predictions["clip"].spatial.shape == (2, 4, 4, 12)
    assert predictions["sam"].summary is None
    assert predictions["sam"].spatial.shape == (2, 4, 4, 20)
    assert predictions["embedder"].summary.shape == (2, 7)
    assert predictions["embedder"].spatial is None


def test_summaries_come_from_the_class_token_and_grids_from_the_patch_tokens():
    model = student()
    tokens, predictions = model(images())
    assert_close(predictions["clip"].summary, model.summary_heads["clip"](tokens.summary))
    assert_close(predictions["clip"].spatial, model.spatial_heads["clip"](tokens.spatial))


def test_heads_are_as_wide_as_the_widest_teacher_unless_the_option_says_otherwise():
    heads = [*student().summary_heads.values(), *student().spatial_heads.values()]
    assert [head.output.in_features for head in heads] == [20] * 4
    configured = student(head=partial(MLPHead, hidden=6)).summary_heads["clip"]
    assert configured.output.in_features == 6


def test_the_gradient_reaches_every_parameter():
    model = student()
    _, predictions = model(images())
    values = [value for features in predictions.values() for value in features if value is not None]
    torch.stack([value.square().sum() for value in values]).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_the_same_seed_gives_the_same_student():
    states = []
    for seed in (3, 3):
        torch.manual_seed(seed)
        states.append(student().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("name", ["", "clip.vit", "keys", "train"])
def test_names_that_cannot_name_a_submodule_are_refused(name):
    with pytest.raises(ValueError, match="cannot name a submodule"):
        student({name: (3, 4)})


def test_no_teacher_is_refused():
    with pytest.raises(ValueError, match="one teacher or more"):
        student({})


def test_one_class_token_per_teacher_with_a_summary():
    torch.manual_seed(0)
    backbone = ViT(image_size=32, patch_size=8, width=24, depth=1, heads=2, class_tokens="per_teacher")
    model = Student(backbone, MLPHead, TEACHERS).eval()
    assert backbone.vit.cls_token.shape == (1, 2, 24)
    tokens, predictions = model(images())
    assert tokens.summary.shape == (2, 2 * 24)
    for place, name in enumerate(("clip", "embedder")):
        own = tokens.summary[:, place * 24 : (place + 1) * 24]
        assert_close(predictions[name].summary, model.summary_heads[name](own))


def test_class_tokens_begin_as_copies_and_learn_apart():
    backbone = ViT(image_size=32, patch_size=8, width=24, depth=1, heads=2, class_tokens="per_teacher")
    model = Student(backbone, MLPHead, TEACHERS)
    tokens, predictions = model(images())
    assert_close(tokens.summary[:, :24], tokens.summary[:, 24:])
    predictions["clip"].summary.sum().backward()
    gradient = backbone.vit.cls_token.grad[0]
    assert not torch.equal(gradient[0], gradient[1])


def test_only_the_wanted_teachers_are_predicted_at_the_wanted_size():
    tokens, predictions = student()(images(), 64, teachers=["sam"])
    assert list(predictions) == ["sam"]
    assert predictions["sam"].spatial.shape == (2, 8, 8, 20)
    assert tokens.spatial.shape == (2, 8, 8, 24)


@pytest.mark.parametrize(
    ("layers", "linear"), [(0, [(4, 6)]), (1, [(5, 6), (4, 5)]), (3, [(5, 6), (5, 5), (5, 5), (4, 5)])]
)
def test_a_head_has_as_many_hidden_layers_as_it_is_told(layers, linear):
    head = MLPHead(6, 4, 5, hidden_layers=layers)
    shapes = [tuple(module.weight.shape) for module in head.modules() if isinstance(module, nn.Linear)]
    assert sorted(shapes) == sorted(linear)
    assert head(torch.randn(2, 6)).shape == (2, 4)
