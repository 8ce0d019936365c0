"""Heads with little or nothing in them: Proteus' and TinTeM's."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from phis_lab.linalg import Moments
from phis_lab.normalizers import PhiS, TeacherSpace
from phis_lab.students import HeadFactory, IdentityHead, LinearHead, Student, ViT
from phis_lab.students.fold import fold


def student(head, channels):
    return Student(ViT(image_size=32, patch_size=8, width=24, depth=1, heads=2), head, {"t": channels})


def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_linear_head_is_a_norm_and_one_layer():
    head, x = LinearHead(6, 4), torch.randn(2, 3, 6)
    assert isinstance(head.norm, nn.LayerNorm)
    assert_close(head(x), nn.functional.linear(head.norm(x), head.output.weight, head.output.bias))
    assert sum(p.numel() for p in head.parameters()) == 2 * 6 + 6 * 4 + 4


def test_without_its_norm_it_is_one_layer():
    head, x = LinearHead(6, 4, norm=False), torch.randn(2, 3, 6)
    assert_close(head(x), head.output(x))


def test_a_normaliser_folds_into_the_linear_head():
    rows = torch.randn(200, 12, generator=torch.Generator().manual_seed(0)).double() + 2
    normalizer = PhiS(12).fit(Moments(12).update(rows))
    model = student(LinearHead, (10, 12)).eval()
    folded = fold(model, {"t": TeacherSpace("t", normalizer)})
    expected = normalizer.inverse(model(images())[1]["t"].spatial)
    assert_close(folded(images())[1]["t"].spatial, expected, rtol=1e-4, atol=1e-4)


def test_without_a_head_the_tokens_are_the_prediction():
    model = student(IdentityHead, (24, 24))
    tokens, predictions = model(images())
    assert torch.equal(predictions["t"].summary, tokens.summary)
    assert torch.equal(predictions["t"].spatial, tokens.spatial)
    assert not list(model.summary_heads.parameters())
    assert isinstance(IdentityHead, HeadFactory)


@pytest.mark.parametrize("out_dim", [23, 25])
def test_without_a_head_another_width_is_refused(out_dim):
    with pytest.raises(ValueError, match=f"as wide as the student, 24, got {out_dim}"):
        student(IdentityHead, (24, out_dim))
