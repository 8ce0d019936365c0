"""Teachers from open_clip: its own ViTs and ResNets (OpenAI CLIP, DFN CLIP, CoCa) and those around a timm trunk."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache, partial
from math import isqrt
from typing import Any, Literal
from unittest.mock import patch

import open_clip
import timm
from open_clip.model import _build_vision_tower
from open_clip.transformer import VisionTransformer
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from phis_lab.bounds import Above, Side
from phis_lab.features import Features
from phis_lab.seeds import fixed_seed
from phis_lab.shapes import Float
from phis_lab.teachers.base import Teacher, of_key, scaled
from phis_lab.teachers.fitting import fit
from phis_lab.teachers.image_sizes import check_image_size, nearest_working
from phis_lab.teachers.outline import WITHOUT_VALUES, Outline, outline
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.timm import size_option, timm_features, timm_stride
from phis_lab.teachers.weights import (
    HUB,
    RANDOM,
    HubFile,
    Weights,
    check_weights,
    find_weights,
    named_repository,
    reachable,
)

HUB_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
POSITIONS = ("positional_embedding", "pos_embed")
RESNET_STRIDE = 32

Summary = Literal["projected", "class_token"]


class OpenClipTeacher(Teacher):
    """The vision tower of an open_clip model; the text tower is never built.

    Spatial features are the patch tokens after the last norm, not projected to the text space, or the last feature map
    of a convolutional tower; those of CoCa are what its attention pooling reads. The summary is the tower's output: the
    projected class token of CLIP, the attention-pooled tokens of SigLIP; or CLIP's class token before the projection.

    Args:
        name: key of the teacher in its set.
        model: open_clip's name, such as "ViT-H-14-378-quickgelu".
        pretrained: open_clip's tag, which decides the normalisation of the pixels, the activation (QuickGELU or GELU)
            and what "hub" means.
        image_size: side in pixels, a multiple of the patch; position embeddings are resampled to it.
        weights: "hub" for the repository of the tag, "hub:owner/repo" for another one, a file of the whole model
            (safetensors or a state dict), a folder, or None for random initialisation. Every parameter of the tower
            comes from the file.
        architecture: arguments that change the vision tower (`{width: 64, layers: 2}`; of timm's trunk for
            SigLIP), for small random copies.
        spatial_scale: constant factor on the spatial features.
        weights_key: which network of a file that holds several, such as "model_ema".
        summary: "projected" for the tower's output, or "class_token" for the class token after the last norm, which is
            as wide as the patch tokens (UNIC).

    Raises:
        ValueError: open_clip does not know the model or the tag, the tower has no such summary or does not take images
            of this size, or the weights are of another one.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str,
        pretrained: str,
        image_size: Side,
        weights: str | None = HUB,
        architecture: dict[str, int] | None = None,
        spatial_scale: Above = 1.0,
        weights_key: str | None = None,
        summary: Summary = "projected",
    ) -> None:
        tag = pretrained_config(model, pretrained)
        needs = tower_outline(model, pretrained, image_size, architecture, summary)
        found = find_weights(name, weights, hub_file(model, pretrained, weights))
        with fixed_seed():
            visual = build_visual(model, pretrained, image_size, architecture or {})
        taken = fit(found[0], VISION, visual, needs, resample_positions, weights_key) if found else None
        if taken:
            taken.load(visual)
        tower = Tower(visual, summary)
        self.spatial_scale = spatial_scale
        super().__init__(
            name=name,
            network=tower,
            pixels=Pixels(image_size, tag["mean"], tag["std"], interpolation=tag["interpolation"]),
            weights=Weights.of_file(*found).of_network(taken.key)
            if found and taken
            else Weights.of_parameters(tower.state_dict()),
            layer=f"{model}:patch tokens"
            + ("" if summary == "projected" else ":class token")
            + scaled(spatial_scale)
            + of_key(weights_key),
            spatial_dim=needs.spatial_dim,
            summary_dim=needs.summary_dim,
        )

    @classmethod
    def check(cls, name: str, option: Mapping[str, Any]) -> None:
        """Raises ValueError if the tower takes no such images, or the weights cannot be reached or do not fit."""
        model, pretrained, weights = option["model"], option["pretrained"], option.get("weights", HUB)
        hub, architecture = hub_file(model, pretrained, weights), option.get("architecture")
        size, summary = option.get("image_size"), option.get("summary", "projected")
        needs = None if size is None else tower_outline(model, pretrained, size, architecture, summary)
        check_weights(name, weights, hub)
        if needs and (file := reachable(weights, hub)):
            with fixed_seed(), WITHOUT_VALUES:
                visual = build_visual(model, pretrained, option["image_size"], architecture or {})
            fit(file, VISION, visual, needs, resample_positions, option.get("weights_key"))

    @classmethod
    def licence(cls, option: Mapping[str, Any]) -> str | None:
        """Only random weights have none that matters; open_clip tells no licences."""
        return RANDOM if option.get("weights", HUB) is None else None

    @classmethod
    def stride(cls, option: Mapping[str, Any]) -> int:
        """The side of a patch, or the total stride of a convolutional tower."""
        return tower_stride(option["model"], option.get("architecture") or {})

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the tower."""
        summary, maps = self.network(x)
        return Features(summary, maps * self.spatial_scale)


VISION = "this vision tower"


class Tower(nn.Module):
    """A vision tower that returns its summary and its feature map, channels last.

    Args:
        visual: of open_clip.
        summary: see `OpenClipTeacher`.

    Raises:
        ValueError: the tower has no class token that it projects.
    """

    def __init__(self, visual: Any, summary: Summary = "projected") -> None:
        super().__init__()
        is_vit = isinstance(visual, VisionTransformer) and visual.attn_pool is None
        if summary == "class_token" and not (is_vit and visual.pool_type == "tok"):
            raise ValueError("this tower projects no class token; use summary=projected")
        self.is_vit, self.summary = is_vit, summary
        self.has_trunk = hasattr(visual, "trunk")
        self.network: Any = visual.trunk if self.has_trunk else visual
        self.head: Any = visual.head if self.has_trunk else None

    def forward(self, x: Tensor) -> Features:
        """Runs the tower once."""
        if self.has_trunk:
            return timm_features(self.network, x, "final", lambda final: self.head(self.network.forward_head(final)))
        if self.summary == "class_token":
            found = self.network.forward_intermediates(
                x, indices=1, normalize_intermediates=True, output_extra_tokens=True
            )
            prefix, maps = (found[f"image_intermediates{kind}"][-1] for kind in ("_prefix", ""))
            return Features(prefix[:, 0], maps.permute(0, 2, 3, 1))
        if self.is_vit:
            summary, tokens = self.network(x)
            side = isqrt(tokens.shape[1])
            return Features(summary, tokens.unflatten(1, (side, side)))
        found = self.network.forward_intermediates(x, indices=1)
        return Features(found["image_features"], found["image_intermediates"][-1].permute(0, 2, 3, 1))


def build_visual(model: str, pretrained: str, image_size: int, architecture: Mapping[str, Any]) -> nn.Module:
    """Builds the vision tower that open_clip builds for a model and a tag, for images of another size."""
    config = open_clip.get_model_config(model)
    vision = {**config["vision_cfg"], "image_size": image_size}
    visual: nn.Module
    if (trunk := vision.get("timm_model_name")) is not None:
        changed = partial(timm.create_model, **{**architecture, **size_option(trunk, image_size)})
        with patch.object(timm, "create_model", changed):  # open_clip does not pass arguments on to the trunk
            visual = _build_vision_tower(config["embed_dim"], vision)
    else:
        options = {"embed_dim": config["embed_dim"], **vision, "output_tokens": True, **architecture}
        visual = _build_vision_tower(options.pop("embed_dim"), options, has_quick_gelu(model, pretrained))
    return visual


def has_quick_gelu(model: str, pretrained: str) -> bool:
    """Whether the weights of a tag were trained with QuickGELU, whatever the name of the model says."""
    return bool(pretrained_config(model, pretrained).get("quick_gelu", False))


def tower_stride(model: str, architecture: Mapping[str, Any]) -> int:
    """Returns how many pixels lie between the features of a tower; no parameter is allocated."""
    vision = {**open_clip.get_model_config(model)["vision_cfg"], **architecture}
    if "timm_model_name" in vision:
        return timm_stride(vision["timm_model_name"], architecture)
    return int(vision["patch_size"]) if isinstance(vision["layers"], int) else RESNET_STRIDE


def tower_outline(
    model: str,
    pretrained: str,
    image_size: int,
    architecture: Mapping[str, Any] | None,
    summary: Summary = "projected",
) -> Outline:
    """Refuses image sizes that a tower does not take, and returns what its features depend on.

    Raises:
        ValueError: with a size that works.
    """
    pretrained_config(model, pretrained)
    step, options = tower_stride(model, architecture or {}), tuple(sorted((architecture or {}).items()))
    check_image_size(image_size, step)
    try:
        return _outline(model, pretrained, image_size, options, summary)
    except ValueError as error:
        size = nearest_working(image_size, step, lambda size: _outline(model, pretrained, size, options, summary))
        raise ValueError(f"{model}: {error}" + (f"; image_size={size} works" if size else "")) from error


@cache
def _outline(
    model: str, pretrained: str, image_size: int, options: tuple[tuple[str, Any], ...], summary: Summary
) -> Outline:
    return outline(
        lambda: build_visual(model, pretrained, image_size, dict(options)),
        lambda visual, x: Tower(visual, summary).eval()(x),
        image_size,
    )


def resample_positions(state: dict[str, Tensor], network: Any) -> Mapping[str, Tensor]:
    """Resamples the position embeddings of a tower's checkpoint to the tower's grid."""
    trunk = getattr(network, "trunk", None)
    prefix = 1 if trunk is None or not getattr(trunk, "no_embed_class", False) else 0
    if trunk is not None:
        prefix *= getattr(trunk, "num_prefix_tokens", 0)
    for name, target in network.state_dict().items():
        if name.rpartition(".")[2] in POSITIONS and name in state and state[name].shape != target.shape:
            side = isqrt(target.shape[-2] - prefix)
            tokens = state[name].reshape(1, *state[name].shape[-2:])
            resampled = resample_abs_pos_embed(tokens, [side, side], num_prefix_tokens=prefix)
            state[name] = resampled.reshape(target.shape)
    return state


def pretrained_config(model: str, pretrained: str) -> dict[str, Any]:
    """Returns what open_clip knows about a tag.

    Raises:
        ValueError: listing the tags, if open_clip does not know it.
    """
    config: dict[str, Any] = open_clip.get_pretrained_cfg(model, pretrained)
    if not config:
        tags = [tag for name, tag in open_clip.list_pretrained() if name == model]
        near = get_close_matches(model, open_clip.list_models(), n=5, cutoff=0.3)
        known = f"its tags are {tags}" if tags else f"the closest names of models are {near}"
        raise ValueError(f"open_clip has no model {model!r} with pretrained={pretrained!r}; {known}")
    return config


def hub_file(model: str, pretrained: str, weights: str | None = HUB) -> HubFile | None:
    """Returns the repository that `weights` names, or else where open_clip publishes the tag's weights."""
    if (named := named_repository(weights)) is not None:
        return HubFile(named, HUB_NAMES)
    repository, _, file = pretrained_config(model, pretrained).get("hf_hub", "").rpartition("/")
    return HubFile(repository, (file,) if file else HUB_NAMES) if repository else None
