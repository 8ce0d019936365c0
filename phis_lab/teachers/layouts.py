"""Names that other libraries give to the tensors of a ViT, brought into timm's where timm does not do so itself."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

State = Mapping[str, Tensor]

_CHUNK = re.compile(r"^blocks\.\d+\.(?=\d+\.)")
"""DINOv2's code may keep its blocks in chunks that number them on: `blocks.CHUNK.BLOCK.`, as UNIC and DUNE do."""

_TRANSFORMERS = "encoder.layer."
_ENDS = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
_PARTS = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_QUERY = "attention.attention.query."


def named_as_in_timm(state: State, network: Any) -> dict[str, Tensor]:
    """Renames the tensors of a ViT in a layout that timm does not know; others stay as they are.

    Args:
        state: tensors by name.
        network: of timm, that they are for.
    """
    if any(name.startswith(_TRANSFORMERS) for name in state):
        return _of_transformers(state)
    if any(_CHUNK.match(name) for name in network.state_dict()):  # a CNN's stages look like chunks
        return dict(state)
    return {_CHUNK.sub("blocks.", name): value for name, value in state.items()}


def _of_transformers(state: State) -> dict[str, Tensor]:
    """From the layout of ViT and DeiT in Hugging Face's transformers, where query, key and value are three layers."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        if not name.startswith(_TRANSFORMERS):
            renamed[_ENDS.get(name, name)] = value
            continue
        block, _, rest = name.removeprefix(_TRANSFORMERS).partition(".")
        part, _, kind = rest.rpartition(".")
        if rest.startswith(_QUERY):
            three = (state[name.replace(".query.", f".{layer}.")] for layer in ("query", "key", "value"))
            renamed[f"blocks.{block}.attn.qkv.{kind}"] = torch.cat(list(three))
        elif not rest.startswith("attention.attention."):
            renamed[f"blocks.{block}.{_PARTS.get(part, part)}.{kind}"] = value
    return renamed
