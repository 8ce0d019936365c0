"""Backbones that start from the weights of a timm model."""

from pathlib import Path
from typing import Any

import timm
from timm.models import VisionTransformer, is_model_in_modules
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor

from phis_lab.bounds import Side
from phis_lab.features import Features
from phis_lab.students.backbone import Backbone, ClassTokens
from phis_lab.teachers.fitting import fit
from phis_lab.teachers.image_sizes import check_image_size
from phis_lab.teachers.outline import outline
from phis_lab.teachers.timm import hub_file, timm_stride
from phis_lab.teachers.weights import MissingWeightsError, local_file, require_hub


class TimmViT(Backbone):
    """A named vision transformer of timm, by default from pretrained weights as in PHI-S, section 3.

    Position embeddings are resampled to `image_size`; colours are normalised as the weights expect.

    Args:
        model: timm's name, of a vision transformer with a class token.
        image_size: side of the images in pixels, a multiple of the model's patch.
        pretrained: takes the weights from the hub unless `weights` is given; False keeps timm's random ones.
        weights: local file of weights (safetensors or a PyTorch state dict) to use in place of the hub's.
        class_tokens: see `Backbone`.
        cpe_max_size: see `Backbone`.
        spectral: see `Backbone`.
        shared_heads: see `Backbone`.
        weights_key: which network of a file that holds several, such as "teacher" or "model_ema".

    Raises:
        ValueError: timm does not know the model, it has no class token, the image cannot be cut into patches,
            or the weights are not published, cannot be reached or are of another model.
    """

    def __init__(
        self,
        model: str = "vit_base_patch16_224",
        image_size: Side = 256,
        pretrained: bool = True,
        weights: str | None = None,
        class_tokens: ClassTokens = "shared",
        cpe_max_size: Side | None = None,
        spectral: bool = False,
        shared_heads: bool = False,
        weights_key: str | None = None,
    ) -> None:
        file = _find(model, pretrained, weights)
        vit = _create(model, image_size)
        if file is not None:
            _load(vit, file, model, image_size, weights_key)
        colours = vit.pretrained_cfg
        super().__init__(vit, colours["mean"], colours["std"], class_tokens, cpe_max_size, spectral, shared_heads)


def _find(model: str, pretrained: bool, weights: str | None) -> Path | None:
    hub = hub_file(model)
    try:
        if weights is not None:
            return local_file(weights)
        return require_hub(hub).fetch() if pretrained else None
    except MissingWeightsError as error:
        raise MissingWeightsError(
            f"student {model}: {error}; give a local file with student.weights=/path/to/file, or start from "
            "random weights with student.pretrained=false"
        ) from error


def _create(model: str, image_size: int) -> VisionTransformer:
    if is_model_in_modules(model.partition(".")[0], ["vision_transformer"]):
        check_image_size(image_size, timm_stride(model, {}), "the patch of ")
        vit = timm.create_model(model, img_size=image_size, num_classes=0, dynamic_img_size=True)
        if vit.global_pool == "token":
            return vit
    raise ValueError(f"{model} is not a vision transformer whose class token is its summary; choose one that is")


def _load(vit: VisionTransformer, file: Path, model: str, image_size: int, key: str | None) -> None:
    needs = outline(lambda: _create(model, image_size), _tokens, image_size)
    fit(file, "the weights of this student", vit, needs, checkpoint_filter_fn, key).load(vit)


def _tokens(vit: Any, images: Tensor) -> Features:
    return Features(vit.forward_features(images).flatten(1), None)
