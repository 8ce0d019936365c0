"""Teachers from timm: DINOv2, the encoder of SAM, any ViT or CNN that has `forward_features`."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from torch import Tensor

from phis_lab.shapes import Float
from phis_lab.teachers.base import Features, Teacher, image_by_image, scaled
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.random_init import fixed_seed
from phis_lab.teachers.weights import HUB, HubFile, Weights, check_weights, find_weights, named_repository, read_state

HUB_NAMES = ("model.safetensors", "pytorch_model.bin")


class TimmTeacher(Teacher):
    """A timm model.

    Args:
        name: key of the teacher in its set.
        model: timm's name with its tag, such as "vit_giant_patch14_reg4_dinov2.lvd142m".
        image_size: side in pixels; position embeddings are resampled to it.
        weights: "hub" for the repository that timm names, "hub:owner/repo" for another one, a file (safetensors
            or a state dict), a folder, or None for random initialisation.
            Files in the layout of the original authors are accepted where timm converts them.
        spatial: "final" takes the last feature map or the patch tokens after the last norm (DINOv2's
            `x_norm_patchtokens`); "before_norm" takes the last block's output, before the final norm or neck
            (SAM).
        summary: "class_token" after the last norm, "pooled" by timm's own head, or None.
        architecture: arguments that change the architecture (`{embed_dim: 64, depth: 2}`), for small random
            copies.
        spatial_scale: constant factor on the spatial features.
        fit: "resize" enlarges images to `image_size`; "pad" puts smaller ones on a canvas of that size and crops their
            features out, for SAM's suffer from enlarged images (PHI-S, section 3).

    Raises:
        ValueError: fit is "pad" and the model has a summary, which would see the padding.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str,
        image_size: int,
        weights: str | None = HUB,
        spatial: Literal["final", "before_norm"] = "final",
        summary: Literal["class_token", "pooled"] | None = None,
        architecture: dict[str, int | str] | None = None,
        spatial_scale: float = 1.0,
        fit: Literal["resize", "pad"] = "resize",
    ) -> None:
        if fit == "pad" and summary is not None:
            raise ValueError("fit=pad crops spatial features, and a summary would see the padding; use summary=null")
        found = find_weights(name, weights, hub_file(model, weights))
        network = build_timm(model, image_size, found[0] if found else None, architecture or {})
        if summary == "class_token" and getattr(network, "cls_token", None) is None:
            raise ValueError(f"{model} has no class token; use summary=pooled or summary=null")
        self.spatial_kind = spatial
        self.summary_kind = summary
        self.spatial_scale = spatial_scale
        self.channels_first = getattr(network, "output_fmt", "NCHW") == "NCHW"
        config = network.pretrained_cfg
        blocks_dim = network.feature_info[-1]["num_chs"]
        super().__init__(
            name=name,
            network=network,
            pixels=Pixels(
                image_size,
                config["mean"],
                config["std"],
                interpolation=config["interpolation"],
                padded_cell=timm_stride(model, architecture or {}) if fit == "pad" else None,
            ),
            weights=Weights.of_file(*found) if found else Weights.of_parameters(network.state_dict()),
            layer=f"{model}:{spatial}" + (":padded" if fit == "pad" else "") + scaled(spatial_scale),
            spatial_dim=network.num_features if spatial == "final" else blocks_dim,
            summary_dim={"class_token": network.num_features, "pooled": network.head_hidden_size}.get(summary or ""),
        )

    @classmethod
    def check(cls, name: str, option: Mapping[str, Any]) -> None:
        """Raises MissingWeightsError if the weights cannot be reached."""
        weights = option.get("weights", HUB)
        check_weights(name, weights, hub_file(option["model"], weights))

    @classmethod
    def stride(cls, option: Mapping[str, Any]) -> int:
        """The side of a patch, or a CNN's total stride."""
        return timm_stride(option["model"], option.get("architecture") or {})

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the network once and picks its tensors."""
        final, (maps,) = self.network.forward_intermediates(x, indices=1, norm=self.spatial_kind == "final")
        if self.spatial_kind == "final" and final.ndim == 4:
            maps = final if self.channels_first else final.permute(0, 3, 1, 2)
        return Features(self._summary(final), maps.permute(0, 2, 3, 1) * self.spatial_scale)

    def _summary(self, final: Tensor) -> Tensor | None:
        if self.summary_kind is None:
            return None
        if self.summary_kind == "class_token":
            return final[:, 0]
        return image_by_image(lambda x: self.network.forward_head(x, pre_logits=True), final)


def hub_file(model: str, weights: str | None = HUB) -> HubFile | None:
    """Returns the repository that `weights` names, or else where timm publishes the model's weights.

    Raises:
        ValueError: if timm does not know the model.
    """
    if not timm.is_model(model):
        close = get_close_matches(model, timm.list_models(), n=5, cutoff=0.5)
        raise ValueError(f"timm has no model {model!r}; the closest names are {close}")
    if (repository := named_repository(weights)) is not None:
        return HubFile(repository, HUB_NAMES)
    config = timm.get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        return None
    return HubFile(config.hf_hub_id, (config.hf_hub_filename,) if config.hf_hub_filename else HUB_NAMES)


def timm_stride(model: str, architecture: Mapping[str, int | str]) -> int:
    """Returns how many pixels lie between the last features of a timm model; no parameter is allocated."""
    with torch.device("meta"):
        network = timm.create_model(model, pretrained=False, **architecture)
    return int(network.feature_info[-1]["reduction"])


def build_timm(model: str, image_size: int, file: Path | None, architecture: Mapping[str, int | str]) -> Any:
    """Builds a timm model from a file, or from a fixed seed where there is none.

    Raises:
        ValueError: if the file does not hold this model.
    """
    config = timm.get_pretrained_cfg(model)
    options: dict[str, Any] = dict(architecture)
    if config is not None and config.fixed_input_size:
        options["img_size"] = image_size
    if file is None:
        with fixed_seed():
            return timm.create_model(model, pretrained=False, **options)
    source = {"state_dict": read_state(file), "custom_load": False}
    try:
        with fixed_seed():
            network = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=source, **options)
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"{file} does not hold the parameters of {model}: {error}") from error
    network.pretrained_cfg.pop("state_dict", None)
    return network
