"""Teachers from open_clip."""

from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.testing import assert_close

from phis_lab.teachers.open_clip import OpenClipTeacher, build_visual

VISION = {"width": 64, "layers": 2, "head_width": 16}
TEXT = {"width": 32, "heads": 2, "layers": 1, "vocab_size": 50, "context_length": 7}


def clip(weights: str | None = None, image_size: int = 56) -> OpenClipTeacher:
    return OpenClipTeacher(
        "clip",
        model="ViT-H-14-378-quickgelu",
        pretrained="dfn5b",
        image_size=image_size,
        weights=weights,
        architecture={"embed_dim": 32, **VISION},
    )


def siglip(weights: str | None = None, image_size: int = 56) -> OpenClipTeacher:
    return OpenClipTeacher(
        "siglip",
        model="ViT-SO400M-14-SigLIP-384",
        pretrained="webli",
        image_size=image_size,
        weights=weights,
        architecture={"embed_dim": 48, "depth": 2, "num_heads": 3},
    )


def test_clip_equals_open_clips_whole_model_read_from_its_file(tmp_path: Path, photos: Tensor) -> None:
    vision = {**VISION, "image_size": 56, "patch_size": 14, "output_tokens": True}
    whole = open_clip.CLIP(32, vision, TEXT, quick_gelu=True, output_dict=True).eval()
    torch.save(whole.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    teacher = clip(str(tmp_path))
    x = teacher.pixels(photos)
    summary, spatial = teacher(photos)
    projected, tokens = whole.encode_image(x)
    assert_close(summary, projected.detach())
    assert_close(spatial.flatten(1, 2), tokens.detach())
    assert (teacher.summary_dim, teacher.spatial_dim) == (32, 64)


def test_siglip_gives_trunk_tokens_and_their_attention_pooling(tmp_path: Path, photos: Tensor) -> None:
    trunk = siglip().network.network
    state = {f"visual.trunk.{name}": value + 0.01 for name, value in trunk.state_dict().items()}
    save_file({**state, "logit_scale": torch.ones(1)}, tmp_path / "open_clip_model.safetensors")
    teacher = siglip(str(tmp_path))
    summary, spatial = teacher(photos)
    trunk = teacher.network.network
    x = teacher.pixels(photos)
    assert_close(trunk.state_dict()["norm.weight"], state["visual.trunk.norm.weight"])
    assert_close(summary, trunk(x))
    assert_close(spatial.flatten(1, 2), trunk.forward_features(x))
    assert teacher.summary_dim == teacher.spatial_dim == 48


@pytest.mark.parametrize(("teacher", "prefix"), [(clip, "visual."), (siglip, "visual.trunk.")])
def test_position_embeddings_are_resampled_to_the_image_size(tmp_path: Path, photos: Tensor, teacher, prefix) -> None:
    state = teacher().network.network.state_dict()
    save_file({prefix + name: value for name, value in state.items()}, tmp_path / "w.safetensors")
    assert teacher(str(tmp_path), 84)(photos).spatial.shape[1:3] == (6, 6)


@pytest.mark.parametrize("teacher", [clip, siglip])
def test_a_file_of_another_network_is_refused(tmp_path: Path, teacher) -> None:
    save_file({"visual.weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="does not hold this vision tower"):
        teacher(str(tmp_path))


def test_a_file_with_a_missing_parameter_is_refused(tmp_path: Path) -> None:
    state = {f"visual.{name}": value for name, value in clip().network.network.state_dict().items()}
    del state["visual.ln_post.weight"]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"ln_post\.weight"):
        clip(str(tmp_path))


def test_random_initialisation_is_repeatable() -> None:
    assert clip().weights == clip().weights
    assert clip().weights != siglip().weights


def test_an_unknown_tag_lists_the_tags() -> None:
    with pytest.raises(ValueError, match=r"its tags are \['dfn5b'\]"):
        OpenClipTeacher("t", model="ViT-H-14-378-quickgelu", pretrained="laion", image_size=56, weights=None)


TOWERS = {
    "coca_ViT-B-32": ("laion2b_s13b_b90k", VISION),
    "RN50": ("openai", {"width": 16}),
    "EVA02-B-16": ("merged2b_s8b_b131k", {"embed_dim": 48, "depth": 1, "num_heads": 3}),
    "PE-Core-T-16-384": ("meta", {"depth": 1}),
}


@pytest.mark.parametrize("model", TOWERS)
def test_every_kind_of_tower_gives_open_clips_summary_and_a_map_in_the_images_order(
    model: str, tmp_path: Path, photos: Tensor
) -> None:
    pretrained, architecture = TOWERS[model]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        theirs: nn.Module = build_visual(model, pretrained, 128, architecture).eval()
    torch.save({f"visual.{name}": value for name, value in theirs.state_dict().items()}, tmp_path / "w.pt")
    option = {"model": model, "pretrained": pretrained, "image_size": 128, "architecture": architecture}
    teacher = OpenClipTeacher("t", weights=str(tmp_path / "w.pt"), **option)
    summary, spatial = teacher(photos[:1])
    wanted = theirs(teacher.pixels(photos[:1]))
    assert_close(summary, (wanted[0] if isinstance(wanted, tuple) else wanted).detach())
    side = 128 // OpenClipTeacher.stride(option)
    assert spatial.shape == (1, side, side, teacher.spatial_dim)
    cell, row, column = 128 // side, side // 4, side - 1
    changed = photos[:1].clone()
    changed[..., row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = 1
    change = (teacher(changed).spatial - spatial).norm(dim=-1).flatten()
    assert divmod(int(change.argmax()), side) == (row, column)


@pytest.mark.parametrize(("pretrained", "quick"), [("openai", True), ("metaclip_400m", True), ("laion2b_e16", False)])
def test_the_tag_and_not_the_models_name_decides_the_activation(pretrained: str, quick: bool) -> None:
    visual = build_visual("ViT-B-32", pretrained, 64, VISION)
    assert any(isinstance(module, open_clip.model.QuickGELU) for module in visual.modules()) == quick


def test_a_size_that_the_patch_does_not_divide_is_refused_before_weights_are_looked_for() -> None:
    option = {"model": "ViT-H-14", "pretrained": "laion2b_s32b_b79k", "image_size": 64, "weights": "/nowhere"}
    with pytest.raises(ValueError, match=r"multiple of 14, got 64, .*; the nearest are 56 and 70"):
        OpenClipTeacher.check("t", option)


def test_an_unknown_model_lists_the_closest_names() -> None:
    with pytest.raises(ValueError, match=r"closest names of models are .*'ViT-B-32'"):
        OpenClipTeacher("t", model="ViT-B-23", pretrained="openai", image_size=64, weights=None)


def test_the_class_token_before_the_projection_is_what_the_tower_projects() -> None:
    options = {"architecture": {"embed_dim": 32, "width": 64, "layers": 2, "head_width": 16}, "weights": None}
    options |= {"model": "ViT-H-14-quickgelu", "pretrained": "metaclip_fullcc", "image_size": 56}
    projected, token = (OpenClipTeacher("t", summary=kind, **options) for kind in ("projected", "class_token"))
    images = torch.rand(2, 3, 56, 56)
    assert token.summary_dim == token.spatial_dim == 64
    assert torch.equal(token(images).spatial, projected(images).spatial)
    through = token(images).summary @ projected.network.network.proj
    torch.testing.assert_close(through, projected(images).summary)


def test_a_tower_without_a_projected_class_token_says_so() -> None:
    with pytest.raises(ValueError, match=r"projects no class token; use summary=projected"):
        OpenClipTeacher("t", model="RN50", pretrained="openai", image_size=224, weights=None, summary="class_token")
