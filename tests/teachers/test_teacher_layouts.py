"""Weights of other systems in the layouts that their authors publish: each is read back as the network it was."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from phis_lab.teachers import check_available
from phis_lab.teachers.layouts import named_as_in_timm
from phis_lab.teachers.timm import TimmTeacher

SMALL = {"embed_dim": 24, "depth": 2, "num_heads": 2}
State = dict[str, Tensor]


def network(model: str) -> nn.Module:
    """A small ViT of 2 x 2 tokens with parameters that are all different."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        built = timm.create_model(model, img_size=2 * int(model.partition("patch")[2][:2]), num_classes=0, **SMALL)
        for parameter in built.parameters():
            nn.init.normal_(parameter)
    return built


def of_dinov2(state: State) -> State:
    """With the position of the class token on its own, registers by another name, and a token for masks."""
    registers = state.get("reg_token")
    named = {name: value for name, value in state.items() if name != "reg_token"}
    named["mask_token"] = torch.zeros(1, 24)
    if registers is not None:
        place = torch.ones(1, 1, 24)
        named |= {"register_tokens": registers, "cls_token": state["cls_token"] - place}
        named["pos_embed"] = torch.cat([place, state["pos_embed"]], dim=1)
    return named


def chunked(state: State) -> State:
    return {name.replace("blocks.", "blocks.0."): value for name, value in state.items()}


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def unic(state: State) -> object:
    heads = {f"module.lp.heads.dino.cls.{n}.layers.0.weight": torch.ones(2, 2) for n in range(3)}
    return {"model": prefixed("module.encoder.", chunked(of_dinov2(state))) | heads, "epoch": 1}


def dune(state: State) -> object:
    projector = {f"projectors.mast3r.0.blocks.{n}.norm1.weight": torch.ones(24) for n in range(3)}
    return {"model": prefixed("encoder.", chunked(of_dinov2(state))) | projector, "epoch": 1}


def theia(state: State) -> object:
    return prefixed("backbone.model.", of_transformers(state)) | {"translator.x.weight": torch.ones(2)}


def of_transformers(state: State) -> State:
    """By the names that `ViTModel.state_dict()` has, written out."""
    named = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.position_embeddings": state["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": state["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": state["patch_embed.proj.bias"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    for block in range(2):
        there, here = f"encoder.layer.{block}", f"blocks.{block}"
        for kind in ("weight", "bias"):
            query, key, value = state[f"{here}.attn.qkv.{kind}"].chunk(3)
            named |= {
                f"{there}.attention.attention.query.{kind}": query,
                f"{there}.attention.attention.key.{kind}": key,
                f"{there}.attention.attention.value.{kind}": value,
                f"{there}.attention.output.dense.{kind}": state[f"{here}.attn.proj.{kind}"],
                f"{there}.layernorm_before.{kind}": state[f"{here}.norm1.{kind}"],
                f"{there}.layernorm_after.{kind}": state[f"{here}.norm2.{kind}"],
                f"{there}.intermediate.dense.{kind}": state[f"{here}.mlp.fc1.{kind}"],
                f"{there}.output.dense.{kind}": state[f"{here}.mlp.fc2.{kind}"],
            }
    return named


def radio(state: State) -> object:
    named = {
        "patch_generator.embedder.weight": state["patch_embed.proj.weight"].flatten(1),
        "patch_generator.pos_embed": state["pos_embed"],
        "patch_generator.cls_token.token": torch.cat([state["cls_token"], state["reg_token"]], dim=1)[0],
        **{name: value for name, value in state.items() if name.startswith("blocks.")},
    }
    return prefixed("radio_model.model.", named) | {"radio_model.input_conditioner.norm_mean": torch.zeros(3, 1, 1)}


def tips(state: State) -> object:
    text = {f"text_encoder.blocks.{n}.norm.weight": torch.ones(24) for n in range(2)}
    return prefixed("vision_encoder.", of_dinov2(state)) | text


PUBLISHED: dict[str, tuple[str, Callable[[State], object]]] = {
    "UNIC": ("vit_base_patch16_224", unic),
    "DUNE": ("vit_base_patch14_reg4_dinov2", dune),
    "Theia": ("deit_base_patch16_224", theia),
    "C-RADIO": ("vit_base_patch16_radio_v3", radio),
    "TIPSv2": ("vit_base_patch14_reg1_tipsv2", tips),
}


@pytest.mark.parametrize("system", PUBLISHED)
def test_a_systems_own_file_gives_the_features_of_its_network(system: str, tmp_path: Path) -> None:
    model, published = PUBLISHED[system]
    original = network(model).eval()
    if system == "C-RADIO":  # its patches have no bias
        nn.init.zeros_(original.patch_embed.proj.bias)
    torch.save(published(original.state_dict()), tmp_path / "w.pth")
    side = original.patch_embed.img_size[0]
    option = {"model": model, "image_size": side, "summary": "class_token", "architecture": SMALL}
    option |= {"weights": str(tmp_path / "w.pth")}
    check_available({"one": {"_target_": "phis_lab.teachers.timm.TimmTeacher", **option}})
    teacher = TimmTeacher("one", **option)
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = original.forward_features(teacher.pixels(images))
    summary, spatial = teacher(images)
    assert_close(summary, expected[:, 0])
    assert_close(spatial.flatten(1, 2), expected[:, original.num_prefix_tokens :])


def test_stages_of_a_cnn_are_no_chunks() -> None:
    convolutions = timm.create_model("mobilenetv2_035")
    state = convolutions.state_dict()
    assert any(name.startswith("blocks.0.0.") for name in state)
    assert named_as_in_timm(state, convolutions).keys() == state.keys()


def test_a_transformers_file_with_a_part_missing_says_what(tmp_path: Path) -> None:
    state = of_transformers(network("deit_base_patch16_224").state_dict())
    del state["encoder.layer.1.attention.attention.key.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"does not hold the parameters of deit_base_patch16_224: "):
        TimmTeacher(
            "one", model="deit_base_patch16_224", image_size=32, architecture=SMALL, weights=str(tmp_path / "w.pth")
        )
