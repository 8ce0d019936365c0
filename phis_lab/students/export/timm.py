"""The backbone of a student as timm's VisionTransformer: `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from phis_lab.students.backbone import Backbone, ViT
from phis_lab.students.export.standardize import TokenStandardizer, class_tokens_of
from phis_lab.students.export_folder import HUB, Description
from phis_lab.students.positions import CroppedPositions, LearnedPositions
from phis_lab.students.pretrained import TimmViT
from phis_lab.students.student import Student
from phis_lab.whole_files import write_whole

ARCHITECTURE = "vit_base_patch16_224"
"""Whose every size is given anew where a student is no named model of timm."""
SPATIAL_MAP = "spatial_standardizer.safetensors"
CLOSE = 1e-4
"""By how much, in units of the features' own deviation, timm may differ; rounding alone does by less."""


def refuse(student: Student) -> None:
    """Raise ValueError for a student that timm's VisionTransformer cannot be."""
    backbone = student.backbone
    if type(backbone) not in (ViT, TimmViT):
        raise ValueError(
            f"timm has no {type(backbone).__name__}, which is a class of its own; export with --to safetensors"
        )
    if (count := class_tokens_of(backbone)) > 1:
        raise ValueError(
            f"timm's VisionTransformer has one class token and this student has {count} "
            "(student.class_tokens=per_teacher); export with --to safetensors, hub or onnx"
        )


@torch.no_grad()
def write(folder: Path, student: Student, description: Description) -> list[Path]:
    """Writes `config.json` and `model.safetensors`, and sees that timm loads from them what the student computes.

    The model takes pixels in [0, 1], which its `pretrained_cfg` says as mean 0 and std 1: the student's own mean and
    std move into the patch embedding. Its heads stay behind. Cropped position embeddings become those of the student's
    image size, the only one that it takes then; learned ones are resampled by timm as by the student.

    A standardisation becomes timm's `head`, fitted for the class token, which `forward` applies; that of the patch
    tokens, for which timm has no place, is written beside it.

    Args:
        folder: to write into.
        student: folded.
        description: of it.

    Raises:
        ValueError: see `refuse`; or the model that timm makes of the files gives other features.
    """
    refuse(student)
    state, arguments = _state(student.backbone)
    standardizer = student.standardizer
    written = [folder / HUB.weights, folder / HUB.description]
    if isinstance(standardizer, TokenStandardizer):
        state |= {f"head.{name}": tensor for name, tensor in standardizer.summary[0].state_dict().items()}
        written.append(folder / SPATIAL_MAP)
        _save(standardizer.spatial.state_dict(), written[-1])
    config = _config(student.backbone, arguments, standardizer is not None)
    config["phis_lab"] = json.loads(description.model_dump_json(include={"phis_lab", "origin", "standardize"}))
    _save(state, written[0])
    written[1].write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _compare(folder, student)
    return written


def _state(backbone: Backbone) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of timm's model, and the arguments that say where its positions lie."""
    vit, patch, positions = backbone.vit, backbone.patch_size, backbone.positions
    if isinstance(positions, LearnedPositions):
        grid, dynamic = positions.embedding, True
    else:
        assert isinstance(positions, CroppedPositions)
        grid, dynamic = positions(backbone.grid, 1)[0], False
    embedding = grid.flatten(0, 1)
    prefix = 0 if vit.no_embed_class else vit.num_prefix_tokens  # the student added those to its tokens for good
    state = {**vit.state_dict(), "pos_embed": torch.cat([embedding.new_zeros(prefix, backbone.width), embedding])[None]}
    if vit.patch_embed.proj.bias is not None:
        state |= _of_plain_pixels(vit.patch_embed.proj, backbone.mean, backbone.std)
    return state, {"img_size": grid.shape[0] * patch, "dynamic_img_size": dynamic}


def _of_plain_pixels(layer: nn.Conv2d, mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """Weight and bias of a patch embedding with (x - mean) / std before it; no padding lies between the two."""
    assert layer.bias is not None
    weight = layer.weight.double() / std.double()
    bias = layer.bias.double() - (weight * mean.double()).sum(dim=(1, 2, 3))
    return {"patch_embed.proj.weight": weight.to(layer.weight), "patch_embed.proj.bias": bias.to(layer.bias)}


def _config(backbone: Backbone, arguments: dict[str, Any], has_head: bool) -> dict[str, Any]:
    """What timm reads to build the model."""
    vit = backbone.vit
    named = vit.pretrained_cfg.get("architecture") if isinstance(backbone, TimmViT) else None
    block = vit.blocks[0]
    arguments |= {
        "patch_size": backbone.patch_size,
        "embed_dim": backbone.width,
        "depth": len(vit.blocks),
        "num_heads": block.attn.num_heads,
        "init_values": 1e-5 if hasattr(block.ls1, "gamma") else None,  # any value: the weights are loaded
    }
    classes = backbone.width if has_head else 0
    plain = vit.patch_embed.proj.bias is not None
    return {
        "architecture": named or ARCHITECTURE,
        "num_classes": classes,
        "num_features": backbone.width,
        "global_pool": "token",
        "model_args": arguments,
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [3, backbone.image_size, backbone.image_size],
            "fixed_input_size": not arguments["dynamic_img_size"],
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": [0.0] * 3 if plain else backbone.mean.flatten().tolist(),
            "std": [1.0] * 3 if plain else backbone.std.flatten().tolist(),
            "num_classes": classes,
            "pool_size": None,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }


def _compare(folder: Path, student: Student) -> None:
    """Load what was written as a user would, and hold it against the student."""
    backbone = student.backbone
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    side = backbone.image_size
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(model.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    tokens = model.forward_features((images - mean) / std)
    expected = backbone(images)
    found = tokens[:, 0], tokens[:, model.num_prefix_tokens :]
    for one, other in zip(found, (expected.summary, expected.spatial.flatten(1, 2)), strict=True):
        if not bool((one - other).abs().max() <= CLOSE * other.std()):
            raise ValueError(
                f"timm {timm.__version__} makes other features of this student than the student itself; export with "
                "--to safetensors, hub or onnx"
            )


def _save(state: dict[str, Tensor], file: Path) -> None:
    plain = {name: tensor.detach().float().cpu().contiguous().clone() for name, tensor in state.items()}
    write_whole(file, lambda temporary: save_file(plain, temporary, metadata={"format": "pt"}))
