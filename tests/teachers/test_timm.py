"""Teachers from timm."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import interpolate
from torch.testing import assert_close

from phis_lab.teachers.timm import TimmTeacher

DINO = "vit_giant_patch14_reg4_dinov2.lvd142m"
SAM = "samvit_huge_patch16.sa1b"
SMALL = {"embed_dim": 48, "depth": 2, "num_heads": 2}


def dino(weights: str | None = None, image_size: int = 56) -> TimmTeacher:
    return TimmTeacher(
        "dino", model=DINO, image_size=image_size, weights=weights, summary="class_token", architecture=SMALL
    )


def test_dinov2_gives_normed_patch_tokens_and_class_token(photos: Tensor) -> None:
    teacher = dino()
    summary, spatial = teacher(photos)
    tokens = teacher.network.forward_features(teacher.pixels(photos))
    assert_close(summary, tokens[:, 0])
    assert_close(spatial.flatten(1, 2), tokens[:, 5:])
    assert (teacher.summary_dim, teacher.spatial_dim) == (48, 48)
    assert_close(spatial.mean(-1), torch.zeros(12, 4, 4), atol=1e-5, rtol=0)


def test_sam_gives_what_goes_into_its_neck(photos: Tensor) -> None:
    teacher = TimmTeacher(
        "sam", model=SAM, image_size=64, weights=None, spatial="before_norm", architecture=SMALL, spatial_scale=2.0
    )
    inputs = []
    teacher.network.neck.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    summary, spatial = teacher(photos)
    assert summary is None
    assert_close(spatial, 2 * inputs[0].permute(0, 2, 3, 1))
    assert teacher.spatial_dim == spatial.shape[-1] == 48


def test_a_convolutional_network_gives_its_last_map_and_pooled_features(photos: Tensor) -> None:
    teacher = TimmTeacher("cnn", model="mobilenetv3_small_050.lamb_in1k", image_size=64, weights=None, summary="pooled")
    summary, spatial = teacher(photos[:2])
    network, x = teacher.network, teacher.pixels(photos[:2])
    assert_close(spatial.permute(0, 3, 1, 2), network.forward_features(x))
    assert_close(summary, network.forward_head(network.forward_features(x), pre_logits=True))
    assert (summary.shape[-1], spatial.shape[-1]) == (teacher.summary_dim, teacher.spatial_dim)


def test_random_initialisation_is_repeatable_and_leaves_the_random_stream_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = dino()
    assert_close(torch.rand(3), expected, rtol=0, atol=0)
    assert dino().weights == first.weights


@pytest.mark.parametrize("kind", ["safetensors", "pth", "checkpoint", "folder"])
def test_a_local_file_gives_the_network_that_was_saved(tmp_path: Path, photos: Tensor, kind: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        saved = timm.create_model(DINO, pretrained=False, img_size=56, **SMALL).eval()
    file = tmp_path / ("w.pth" if kind in {"pth", "checkpoint"} else "w.safetensors")
    if file.suffix == ".pth":
        torch.save({"state_dict": saved.state_dict(), "step": 3} if kind == "checkpoint" else saved.state_dict(), file)
    else:
        save_file(saved.state_dict(), file)
    teacher = dino(str(tmp_path if kind == "folder" else file))
    summary, _ = teacher(photos)
    assert_close(summary, saved.forward_features(teacher.pixels(photos))[:, 0].detach())
    assert teacher.weights.sha256 != dino().weights.sha256
    assert "state_dict" not in teacher.network.pretrained_cfg


def test_position_embeddings_are_resampled_to_the_image_size(tmp_path: Path, photos: Tensor) -> None:
    save_file(dino().network.state_dict(), tmp_path / "w.safetensors")
    assert dino(str(tmp_path), image_size=84)(photos).spatial.shape == (12, 6, 6, 48)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w\.safetensors does not hold the parameters of vit_giant"):
        dino(str(tmp_path))


def test_a_file_with_a_missing_parameter_is_refused(tmp_path: Path) -> None:
    state = dino().network.state_dict()
    del state["blocks.1.norm1.weight"]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"blocks\.1\.norm1\.weight"):
        dino(str(tmp_path))


def test_an_unknown_model_lists_the_closest_names() -> None:
    with pytest.raises(ValueError, match="vit_giant_patch14_reg4_dinov2"):
        TimmTeacher("t", model="vit_giant_patch14_reg4_dinov3", image_size=56, weights=None)


def test_a_class_token_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="has no class token; use summary=pooled"):
        TimmTeacher("t", model=SAM, image_size=64, weights=None, summary="class_token", architecture=SMALL)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"model": "vit_small_patch14_reg4_dinov2", "image_size": 64}, "the nearest are 56 and 70"),
        ({"model": "vit_small_patch14_reg4_dinov2", "image_size": 9}, "the smallest is 14"),
        ({"model": "swin_tiny_patch4_window7_224", "image_size": 100}, "the nearest are 96 and 128"),
        ({"model": "hiera_tiny_224", "image_size": 224}, "spatial=before_norm works"),
        ({"model": "crossvit_9_240", "image_size": 240, "summary": "pooled"}, "multiple of 17|several streams"),
        ({"model": "resnet18", "image_size": 64, "summary": "class_token"}, "has no class token"),
    ],
)
def test_what_a_network_cannot_give_is_refused_before_weights_are_looked_for(option: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TimmTeacher.check("t", {"weights": "/nowhere", **option})


HIERARCHICAL = {
    "swin_tiny_patch4_window7_224": {"embed_dim": 24, "summary": "pooled"},
    "hiera_tiny_224": {"embed_dim": 24, "spatial": "before_norm"},
    "convnext_atto": {"summary": "pooled"},
    "mobilenetv4_conv_small_050": {"summary": "pooled"},
}


@pytest.mark.parametrize("model", HIERARCHICAL)
def test_hierarchical_networks_give_maps_in_the_images_order(model: str, photos: Tensor) -> None:
    options = dict(HIERARCHICAL[model])
    width = {"embed_dim": options.pop("embed_dim")} if "embed_dim" in options else {}
    teacher = TimmTeacher("t", model=model, image_size=224, weights=None, architecture=width, **options)
    image = interpolate(photos[:1], (224, 224))
    changed = image.clone()
    changed[..., 32:64, 160:192] = 1 - changed[..., 32:64, 160:192]
    before, after = teacher(image).spatial, teacher(changed).spatial
    assert before.shape == (1, 7, 7, teacher.spatial_dim)
    row, column = divmod(int((after - before).norm(dim=-1).flatten().argmax()), 7)
    assert abs(row - 1) <= 1
    assert abs(column - 5) <= 1
