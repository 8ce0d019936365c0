"""The text tower of an open_clip model, without its vision tower."""

from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import _build_text_tower
from torch import Tensor, nn
from torch.nn import functional

from phis_lab.shapes import Float, Int64
from phis_lab.teachers.fitting import fit
from phis_lab.teachers.open_clip import has_quick_gelu, hub_file, pretrained_config
from phis_lab.teachers.outline import whole
from phis_lab.teachers.random_init import fixed_seed
from phis_lab.teachers.weights import HUB, find_weights


class TextTower(nn.Module):
    """Texts to the space of an open_clip model's image embeddings.

    Args:
        name: of the teacher that it belongs to, for messages.
        model: open_clip's name, such as "ViT-H-14-378-quickgelu".
        pretrained: open_clip's tag, which decides what "hub" means.
        weights: "hub", "hub:owner/repo", a file of the whole model, a folder, or None for random initialisation.
        architecture: arguments that change the text tower (`{embed_dim: 32, width: 32, layers: 1, heads: 2}`), for
            small random copies.
        weights_key: which network of a file that holds several, as the teacher's.

    Attributes:
        logit_scale: logarithm of what cosines are multiplied by.
        logit_bias: what is added to them, 0 where the model has none.

    Raises:
        ValueError: the model takes its text tower from another library, or the file does not hold it.
    """

    logit_bias: Tensor

    def __init__(
        self,
        name: str,
        model: str,
        pretrained: str,
        weights: str | None = HUB,
        architecture: dict[str, int] | None = None,
        weights_key: str | None = None,
    ) -> None:
        super().__init__()
        pretrained_config(model, pretrained)
        config = open_clip.get_model_config(model)
        options = {"embed_dim": config["embed_dim"], **config["text_cfg"], **(architecture or {})}
        if options.get("hf_model_name"):
            raise ValueError(f"{model} takes its text tower from transformers; zero-shot needs one of open_clip's own")
        found = find_weights(name, weights, hub_file(model, pretrained, weights))
        with fixed_seed():
            self.network: Any = _build_text_tower(options.pop("embed_dim"), options, has_quick_gelu(model, pretrained))
        scale = config.get("init_logit_scale", torch.tensor(1 / 0.07).log())
        self.logit_scale = nn.Parameter(torch.as_tensor(scale, dtype=torch.float32))
        self.register_buffer("logit_bias", torch.tensor(float(config.get("init_logit_bias") or 0.0)))
        if found:
            self._load(found[0], weights_key)
        self.requires_grad_(False).eval()

    def _load(self, file: Path, key: str | None) -> None:
        found = fit(file, "this text tower", self.network, whole(self.network), lambda state, _: state, key)
        scale, bias = found.beside("logit_scale"), found.beside("logit_bias")
        if scale is None:
            raise ValueError(f"{file} does not hold this text tower: logit_scale is missing")
        found.load(self.network)
        self.logit_scale.data.copy_(scale.squeeze())
        if bias is not None:
            self.logit_bias.copy_(bias.squeeze())

    def encode_text(self, text: Int64[Tensor, "n context"], normalize: bool = False) -> Float[Tensor, "n dim"]:
        """Embeds tokenised texts, with length 1 if `normalize`; open_clip calls it by this name."""
        features: Tensor = self.network(text)
        return functional.normalize(features, dim=-1) if normalize else features
