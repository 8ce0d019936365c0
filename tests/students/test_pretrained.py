from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch.testing import assert_close

from phis_lab.students import TimmViT

TINY = "vit_tiny_patch16_224"


@pytest.fixture
def original():
    return timm.create_model(TINY, img_size=32)


def saved(model, file):
    save_file(model.state_dict(), file)
    return str(file)


def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_local_file_gives_timms_tokens_under_the_models_own_colour_constants(original, tmp_path):
    student = TimmViT(TINY, image_size=32, weights=saved(original, tmp_path / "tiny.safetensors")).eval()
    tokens = original.eval().forward_features((images() - 0.5) / 0.5)
    features = student(images())
    assert_close(features.summary, tokens[:, 0])
    assert_close(features.spatial.flatten(1, 2), tokens[:, 1:])


def test_position_embeddings_are_resampled_to_the_image_size(original, tmp_path):
    student = TimmViT(TINY, image_size=64, weights=saved(original, tmp_path / "tiny.safetensors"))
    assert student.grid == (4, 4)
    assert student(images()).spatial.shape == (2, 4, 4, 192)


def test_register_tokens_are_left_out_of_the_grid():
    student = TimmViT("vit_small_patch14_reg4_dinov2", image_size=28, pretrained=False)
    assert student(images()).spatial.shape == (2, 2, 2, 384)


def test_weights_of_another_model_are_refused(tmp_path):
    other = timm.create_model("vit_small_patch16_224", img_size=32)
    with pytest.raises(ValueError, match="does not hold the weights of this student"):
        TimmViT(TINY, image_size=32, weights=saved(other, tmp_path / "small.safetensors"))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"student.weights=.*student.pretrained=false"):
        TimmViT(TINY, image_size=32, weights=str(tmp_path / "none.safetensors"))


def test_a_hub_out_of_reach_is_refused_with_the_two_ways_out(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"student.weights=.*student.pretrained=false"):
        TimmViT(TINY, image_size=32)


def test_a_model_without_published_weights_is_refused_instead_of_left_random():
    with pytest.raises(ValueError, match=r"no hub repository is known.*student.weights=.*student.pretrained=false"):
        TimmViT("vit_base_patch16_plus_240", image_size=32)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"model": Path}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match=r"code\.pth holds Python objects besides tensors \(pathlib\.\w*\)"):
        TimmViT(TINY, image_size=32, weights=str(tmp_path / "code.pth"))


def test_an_unknown_model_is_refused_with_the_closest_names():
    with pytest.raises(ValueError, match="vit_base_patch16_224"):
        TimmViT("vit_bse_patch16_224", pretrained=False)


@pytest.mark.parametrize("model", ["resnet18", "vit_base_patch16_siglip_224"])
def test_a_model_without_a_class_token_is_refused(model):
    with pytest.raises(ValueError, match="class token"):
        TimmViT(model, image_size=32, pretrained=False)
