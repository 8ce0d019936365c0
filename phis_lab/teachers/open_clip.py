"""Teachers from open_clip: its own ViTs (OpenAI CLIP, DFN CLIP) and those around a timm trunk (SigLIP)."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import open_clip
import timm
from open_clip.model import _build_vision_tower
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from phis_lab.shapes import Float
from phis_lab.teachers.base import Features, Teacher, image_by_image, scaled
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.random_init import fixed_seed
from phis_lab.teachers.timm import timm_stride
from phis_lab.teachers.weights import HUB, HubFile, Weights, check_weights, find_weights, named_repository, read_state

HUB_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


class OpenClipTeacher(Teacher):
    """The vision tower of an open_clip model; the text tower is never built.

    Spatial features are the patch tokens after the last norm, not projected to the text space. The summary is
    the tower's output: the projected class token of CLIP, the attention-pooled tokens of SigLIP.

    Args:
        name: key of the teacher in its set.
        model: open_clip's name, such as "ViT-H-14-378-quickgelu".
        pretrained: open_clip's tag, which decides the normalisation of the pixels and what "hub" means.
        image_size: side in pixels; position embeddings are resampled to it.
        weights: "hub" for the repository of the tag, "hub:owner/repo" for another one, a file of the whole model
            (safetensors or a state dict), a folder, or None for random initialisation.
        architecture: arguments that change the vision tower (`{width: 64, layers: 2}`; of timm's trunk for
            SigLIP), for small random copies.
        spatial_scale: constant factor on the spatial features.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str,
        pretrained: str,
        image_size: int,
        weights: str | None = HUB,
        architecture: dict[str, int] | None = None,
        spatial_scale: float = 1.0,
    ) -> None:
        tag = pretrained_config(model, pretrained)
        found = find_weights(name, weights, hub_file(model, pretrained, weights))
        with fixed_seed():
            tower = build_tower(open_clip.get_model_config(model), image_size, architecture or {})
        if found:
            tower.load(found[0])
        self.spatial_scale = spatial_scale
        super().__init__(
            name=name,
            network=tower,
            pixels=Pixels(image_size, tag["mean"], tag["std"], interpolation=tag["interpolation"]),
            weights=Weights.of_file(*found) if found else Weights.of_parameters(tower.state_dict()),
            layer=f"{model}:patch tokens" + scaled(spatial_scale),
            spatial_dim=tower.spatial_dim,
            summary_dim=tower.summary_dim,
        )

    @classmethod
    def check(cls, name: str, option: Mapping[str, Any]) -> None:
        """Raises MissingWeightsError if the weights cannot be reached."""
        weights = option.get("weights", HUB)
        check_weights(name, weights, hub_file(option["model"], option["pretrained"], weights))

    @classmethod
    def stride(cls, option: Mapping[str, Any]) -> int:
        """The side of a patch."""
        vision, architecture = open_clip.get_model_config(option["model"])["vision_cfg"], option.get("architecture")
        if "timm_model_name" in vision:
            return timm_stride(vision["timm_model_name"], architecture or {})
        return int({**vision, **(architecture or {})}["patch_size"])

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the tower and lays its patch tokens out as a grid."""
        summary, tokens = self.network(x)
        side = isqrt(tokens.shape[1])
        return Features(summary, tokens.unflatten(1, (side, side)) * self.spatial_scale)


class Tower(nn.Module):
    """A vision tower that returns (summary, patch tokens) and loads itself from a file of the whole model."""

    prefix: str
    positions: str
    prefix_tokens: int
    spatial_dim: int
    summary_dim: int
    network: Any

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def load(self, file: Path) -> None:
        """Loads the tower's part of a checkpoint, with position embeddings resampled to the tower's grid.

        Raises:
            ValueError: if the file does not hold this tower.
        """
        state = {
            key.removeprefix(self.prefix): value
            for key, value in read_state(file).items()
            if key.startswith(self.prefix)
        }
        try:
            state[self.positions] = self._resample(state[self.positions])
            self.network.load_state_dict(state)
        except (RuntimeError, KeyError) as error:
            raise ValueError(
                f"{file} does not hold this vision tower (its parameters start with {self.prefix!r}): {error}"
            ) from error

    def _resample(self, positions: Tensor) -> Tensor:
        target = self.network.get_parameter(self.positions)
        side = isqrt(target.shape[-2] - self.prefix_tokens)
        tokens = positions.reshape(1, *positions.shape[-2:])
        resampled: Tensor = resample_abs_pos_embed(tokens, [side, side], num_prefix_tokens=self.prefix_tokens)
        return resampled.reshape(target.shape)


class ClipTower(Tower):
    """open_clip's own ViT."""

    prefix = "visual."
    positions = "positional_embedding"
    prefix_tokens = 1

    def __init__(self, embed_dim: int, vision: Mapping[str, Any], quick_gelu: bool) -> None:
        super().__init__(_build_vision_tower(embed_dim, {**vision, "output_tokens": True}, quick_gelu))
        self.spatial_dim = vision["width"]
        self.summary_dim = embed_dim

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the projected class token and the patch tokens."""
        summary, tokens = self.network(x)
        return summary, tokens


class TrunkTower(Tower):
    """A timm ViT with attention pooling, as SigLIP has it."""

    prefix = "visual.trunk."
    positions = "pos_embed"
    prefix_tokens = 0

    def __init__(self, model: str, image_size: int, architecture: Mapping[str, int]) -> None:
        options = {"img_size": image_size, "num_classes": 0, "global_pool": "map", **architecture}
        super().__init__(timm.create_model(model, pretrained=False, **options))
        self.spatial_dim = self.summary_dim = self.network.num_features

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the attention-pooled tokens and the tokens."""
        tokens = self.network.forward_features(x)
        return image_by_image(self.network.attn_pool, tokens), tokens


def build_tower(config: Mapping[str, Any], image_size: int, architecture: Mapping[str, int]) -> Tower:
    """Builds the vision tower that a model configuration of open_clip describes.

    Raises:
        ValueError: if it is neither a ViT nor a timm ViT with attention pooling and no projection.
    """
    vision = config["vision_cfg"]
    if vision.get("timm_pool") == "map" and vision.get("timm_proj") == "none":
        return TrunkTower(vision["timm_model_name"], image_size, architecture)
    if "timm_model_name" in vision or not isinstance(vision["layers"], int):
        raise ValueError(f"the vision tower must be a ViT (open_clip's, or timm's with map pooling), received {vision}")
    options = {"embed_dim": config["embed_dim"], **vision, "image_size": image_size, **architecture}
    return ClipTower(options.pop("embed_dim"), options, config.get("quick_gelu", False))


def pretrained_config(model: str, pretrained: str) -> dict[str, Any]:
    """Returns what open_clip knows about a tag.

    Raises:
        ValueError: listing the tags, if open_clip does not know it.
    """
    config: dict[str, Any] = open_clip.get_pretrained_cfg(model, pretrained)
    if not config:
        tags = [tag for name, tag in open_clip.list_pretrained() if name == model]
        known = f"its tags are {tags}" if tags else f"it has {open_clip.list_models()}"
        raise ValueError(f"open_clip has no model {model!r} with pretrained={pretrained!r}; {known}")
    return config


def hub_file(model: str, pretrained: str, weights: str | None = HUB) -> HubFile | None:
    """Returns the repository that `weights` names, or else where open_clip publishes the tag's weights."""
    if (named := named_repository(weights)) is not None:
        return HubFile(named, HUB_NAMES)
    repository, _, file = pretrained_config(model, pretrained).get("hf_hub", "").rpartition("/")
    return HubFile(repository, (file,) if file else HUB_NAMES) if repository else None
