"""Teachers from timm: DINOv2, the encoder of SAM, any ViT or CNN that has `forward_intermediates`."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal
from unittest.mock import patch

import timm
from torch import Tensor

from phis_lab.bounds import Above, Side
from phis_lab.features import Features
from phis_lab.seeds import fixed_seed
from phis_lab.shapes import Float
from phis_lab.teachers.base import Teacher, image_by_image, of_key, scaled
from phis_lab.teachers.fitting import Convert, Fit, fit
from phis_lab.teachers.image_sizes import check_image_size, nearest_working, works
from phis_lab.teachers.layouts import named_as_in_timm
from phis_lab.teachers.outline import WITHOUT_VALUES, NoSuchFeaturesError, Outline, outline
from phis_lab.teachers.pixels import Interpolation, Pixels
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

HUB_NAMES = ("model.safetensors", "pytorch_model.bin")

Spatial = Literal["final", "before_norm"]
Summary = Literal["class_token", "pooled"]
Architecture = Mapping[str, int | str]
Colour = tuple[Above, Above, Above]
"""A value for each of red, green and blue."""


class TimmTeacher(Teacher):
    """A timm model.

    Args:
        name: key of the teacher in its set.
        model: timm's name with its tag, such as "vit_giant_patch14_reg4_dinov2.lvd142m".
        image_size: side in pixels, a multiple of the patch; position embeddings are resampled to it.
        weights: "hub" for the repository that timm names, "hub:owner/repo" for another one, a file (safetensors
            or a state dict), a folder, or None for random initialisation.
            Files in the layout of the original authors are accepted where timm converts them, and so are prefixes
            that wrappers add to all names. Every parameter that the features depend on comes from the file.
        spatial: "final" takes the last feature map or the patch tokens after the last norm (DINOv2's
            `x_norm_patchtokens`); "before_norm" takes the last block's output, before the final norm or neck
            (SAM).
        summary: "class_token" after the last norm, "pooled" by timm's own head, or None.
        architecture: arguments that change the architecture (`{embed_dim: 64, depth: 2}`), for small random
            copies.
        spatial_scale: constant factor on the spatial features.
        fit: "resize" enlarges images to `image_size`; "pad" puts smaller ones on a canvas of that size and crops their
            features out, for SAM's suffer from enlarged images (PHI-S, section 3).
        weights_key: which network of a file that holds several, such as "teacher" or "model_ema".
        mean: of each colour channel, in units of [0, 1]; None takes that of timm's weights.
        std: likewise.
        interpolation: filter of the resize to `image_size`; None takes that of timm's weights.

    Raises:
        ValueError: fit is "pad" and the model has a summary, which would see the padding; the model gives no such
            features of images of this size; or the weights are of another network.
    """

    def __init__(
        self,
        name: str,
        *,
        model: str,
        image_size: Side,
        weights: str | None = HUB,
        spatial: Spatial = "final",
        summary: Summary | None = None,
        architecture: dict[str, int | str] | None = None,
        spatial_scale: Above = 1.0,
        fit: Literal["resize", "pad"] = "resize",
        weights_key: str | None = None,
        mean: Colour | None = None,
        std: Colour | None = None,
        interpolation: Interpolation | None = None,
    ) -> None:
        needs = timm_outline(model, image_size, architecture, spatial, summary, fit)
        found = find_weights(name, weights, hub_file(model, weights))
        with fixed_seed():
            network, convert = create_timm(model, image_size, architecture or {}, pretrained=found is not None)
        taken = fit_timm(found[0], model, network, needs, convert, weights_key) if found else None
        if taken:
            taken.load(network)
        self.spatial_kind: Spatial = spatial
        self.summary_kind = summary
        self.spatial_scale = spatial_scale
        config = network.pretrained_cfg
        super().__init__(
            name=name,
            network=network,
            pixels=Pixels(
                image_size,
                mean or config["mean"],
                std or config["std"],
                interpolation=interpolation or config["interpolation"],
                padded_cell=timm_stride(model, architecture or {}) if fit == "pad" else None,
            ),
            weights=Weights.of_file(*found).of_network(taken.key)
            if found and taken
            else Weights.of_parameters(network.state_dict()),
            layer=f"{model}:{spatial}"
            + (":padded" if fit == "pad" else "")
            + scaled(spatial_scale)
            + of_key(weights_key),
            spatial_dim=needs.spatial_dim,
            summary_dim=needs.summary_dim,
        )

    @classmethod
    def check(cls, name: str, option: Mapping[str, Any]) -> None:
        """Raises ValueError if the model gives no such features, or the weights cannot be reached or do not fit."""
        model, architecture, weights = option["model"], option.get("architecture"), option.get("weights", HUB)
        hub = hub_file(model, weights)
        asked = option.get("spatial", "final"), option.get("summary"), option.get("fit", "resize")
        needs = timm_outline(model, option["image_size"], architecture, *asked) if "image_size" in option else None
        check_weights(name, weights, hub)
        if needs and (file := reachable(weights, hub)):
            with fixed_seed(), WITHOUT_VALUES:
                network, convert = create_timm(model, option["image_size"], architecture or {}, pretrained=True)
            fit_timm(file, model, network, needs, convert, option.get("weights_key"))

    @classmethod
    def licence(cls, option: Mapping[str, Any]) -> str | None:
        """What timm says of the weights that it publishes."""
        if option.get("weights", HUB) is None:
            return RANDOM
        config = timm.get_pretrained_cfg(option["model"])
        return None if config is None or option.get("weights", HUB) != HUB else config.license

    @classmethod
    def stride(cls, option: Mapping[str, Any]) -> int:
        """The side of a patch, or a CNN's total stride."""
        return timm_stride(option["model"], option.get("architecture") or {})

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the network once and picks its tensors."""
        summary, maps = timm_features(self.network, x, self.spatial_kind, self.summary_kind)
        return Features(summary, None if maps is None else maps * self.spatial_scale)


def timm_features(
    network: Any, x: Tensor, spatial: Spatial, summary: Summary | Callable[[Tensor], Tensor] | None
) -> Features:
    """Runs a timm network once and picks its summary and its spatial features, channels last.

    Args:
        network: of timm.
        x: normalised images.
        spatial: see `TimmTeacher`.
        summary: see `TimmTeacher`, or what makes it of the network's last features.
    """
    final, (maps,) = network.forward_intermediates(x, indices=1, norm=spatial == "final")
    if spatial == "final" and isinstance(final, Tensor) and final.ndim == 4:
        maps = final if getattr(network, "output_fmt", "NCHW") == "NCHW" else final.permute(0, 3, 1, 2)
    return Features(_summary(network, final, summary), maps.permute(0, 2, 3, 1))


def _summary(network: Any, final: Tensor, kind: Summary | Callable[[Tensor], Tensor] | None) -> Tensor | None:
    if kind is None:
        return None
    if not isinstance(final, Tensor):
        raise NoSuchFeaturesError("it ends in several streams of tokens; use summary=null")
    if kind == "class_token":
        return final[:, 0]
    return image_by_image(kind if callable(kind) else lambda x: network.forward_head(x, pre_logits=True), final)


def timm_outline(
    model: str,
    image_size: int,
    architecture: Architecture | None,
    spatial: Spatial,
    summary: Summary | None,
    fit: Literal["resize", "pad"] = "resize",
) -> Outline:
    """Refuses what a model cannot give, and returns what its features depend on; no parameter is allocated.

    Raises:
        ValueError: timm does not know the model, or it gives no such features of images of this size.
    """
    if fit == "pad" and summary is not None:
        raise ValueError("fit=pad crops spatial features, and a summary would see the padding; use summary=null")
    refuse_unknown(model)
    check_image_size(image_size, timm_stride(model, architecture or {}))
    options = tuple(sorted((architecture or {}).items()))

    try:
        return _outline(model, image_size, options, spatial, summary)
    except ValueError as error:
        if works(lambda: _outline(model, image_size, options, "before_norm", summary)):
            raise ValueError(f"{model} with spatial={spatial}: {error}; spatial=before_norm works") from error
        if isinstance(error, NoSuchFeaturesError):
            raise ValueError(f"{model}: {error}") from error
        step = timm_stride(model, architecture or {})
        size = nearest_working(image_size, step, lambda size: _outline(model, size, options, spatial, summary))
        raise ValueError(f"{model}: {error}" + (f"; image_size={size} works" if size else "")) from error


@cache
def _outline(
    model: str, image_size: int, options: tuple[tuple[str, Any], ...], spatial: Spatial, summary: Summary | None
) -> Outline:
    def read(network: Any, x: Tensor) -> Features:
        if not hasattr(network, "forward_intermediates"):
            raise NoSuchFeaturesError("timm reads no inner features of it; choose another model")
        if summary == "class_token" and getattr(network, "cls_token", None) is None:
            raise NoSuchFeaturesError("it has no class token; use summary=pooled or summary=null")
        return timm_features(network, x, spatial, summary)

    return outline(lambda: create_timm(model, image_size, dict(options))[0], read, image_size)


def refuse_unknown(model: str) -> None:
    """Raises ValueError with the closest names if timm does not know a model."""
    if not timm.is_model(model):
        close = get_close_matches(model, timm.list_models(), n=5, cutoff=0.5)
        raise ValueError(f"timm has no model {model!r}; the closest names are {close}")


def hub_file(model: str, weights: str | None = HUB) -> HubFile | None:
    """Returns the repository that `weights` names, or else where timm publishes the model's weights.

    Raises:
        ValueError: if timm does not know the model.
    """
    refuse_unknown(model)
    if (repository := named_repository(weights)) is not None:
        return HubFile(repository, HUB_NAMES)
    config = timm.get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        return None
    return HubFile(config.hf_hub_id, (config.hf_hub_filename,) if config.hf_hub_filename else HUB_NAMES)


@cache
def _stride(model: str, options: tuple[tuple[str, Any], ...]) -> int:
    with fixed_seed(), WITHOUT_VALUES:
        network = timm.create_model(model, pretrained=False, **dict(options))
    return int(network.feature_info[-1]["reduction"])


def timm_stride(model: str, architecture: Architecture) -> int:
    """Returns how many pixels lie between the last features of a timm model; no parameter is allocated."""
    return _stride(model, tuple(sorted(architecture.items())))


def size_option(model: str, image_size: int) -> dict[str, int]:
    """Returns the argument that tells a timm model its image size, where it has one."""
    config = timm.get_pretrained_cfg(model)
    return {"img_size": image_size} if config is not None and config.fixed_input_size else {}


def create_timm(
    model: str, image_size: int, architecture: Architecture, pretrained: bool = False
) -> tuple[Any, Convert]:
    """Builds a timm model with random parameters, and returns what timm would convert a checkpoint of it by.

    timm keeps that function to itself and loads what it likes of the result, so its loader is replaced by one that
    takes note of the function.
    """
    found: list[Callable[..., Any]] = []

    def note(*_: Any, filter_fn: Callable[..., Any] | None = None, **__: Any) -> None:
        found.extend([filter_fn] if filter_fn else [])

    options: dict[str, Any] = {**architecture, **size_option(model, image_size)}
    if pretrained:
        options["pretrained_cfg_overlay"] = {"state_dict": {}, "custom_load": False}
    with patch("timm.models._builder.load_pretrained", note):
        network = timm.create_model(model, pretrained=pretrained, **options)
    network.pretrained_cfg.pop("state_dict", None)
    return network, _converting(found[0] if found else lambda state, _: state)


def _converting(convert: Callable[..., Any]) -> Convert:
    def converted(state: dict[str, Tensor], network: Any) -> Mapping[str, Tensor]:
        state = named_as_in_timm(state, network)
        try:
            return convert(state, network)  # type: ignore[no-any-return]
        except TypeError:  # a few take the state alone
            return convert(state)  # type: ignore[no-any-return]

    return converted


def fit_timm(file: Any, model: str, network: Any, needs: Outline, convert: Convert, key: str | None) -> Fit:
    """Finds the parameters of a timm model in a file; see `fit`."""
    return fit(file, f"the parameters of {model}", network, needs, convert, key)
