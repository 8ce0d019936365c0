"""The text tower of an open_clip model, without its vision tower."""

from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import _build_text_tower
from torch import Tensor, nn
from torch.nn import functional

from phis_lab.shapes import Float, Int64
from phis_lab.teachers.open_clip import hub_file, pretrained_config
from phis_lab.teachers.random_init import fixed_seed
from phis_lab.teachers.weights import HUB, find_weights, read_state

_OF_CLIP = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection")
_OF_CUSTOM = "text."


class TextTower(nn.Module):
    """Texts to the space of an open_clip model's image embeddings.

    Args:
        name: of the teacher that it belongs to, for messages.
        model: open_clip's name, such as "ViT-H-14-378-quickgelu".
        pretrained: open_clip's tag, which decides what "hub" means.
        weights: "hub", "hub:owner/repo", a file of the whole model, a folder, or None for random initialisation.
        architecture: arguments that change the text tower (`{embed_dim: 32, width: 32, layers: 1, heads: 2}`), for
            small random copies.

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
    ) -> None:
        super().__init__()
        pretrained_config(model, pretrained)
        config = open_clip.get_model_config(model)
        options = {"embed_dim": config["embed_dim"], **config["text_cfg"], **(architecture or {})}
        if options.get("hf_model_name"):
            raise ValueError(f"{model} takes its text tower from transformers; zero-shot needs one of open_clip's own")
        found = find_weights(name, weights, hub_file(model, pretrained, weights))
        with fixed_seed():
            self.network: Any = _build_text_tower(options.pop("embed_dim"), options, config.get("quick_gelu", False))
        scale = config.get("init_logit_scale", torch.tensor(1 / 0.07).log())
        self.logit_scale = nn.Parameter(torch.as_tensor(scale, dtype=torch.float32))
        self.register_buffer("logit_bias", torch.tensor(float(config.get("init_logit_bias") or 0.0)))
        if found:
            self._load(found[0])
        self.requires_grad_(False).eval()

    def _load(self, file: Path) -> None:
        state = read_state(file)
        custom = any(key.startswith(_OF_CUSTOM) for key in state)
        own = {
            key.removeprefix(_OF_CUSTOM): value
            for key, value in state.items()
            if key.startswith(_OF_CUSTOM if custom else _OF_CLIP)
        }
        try:
            self.network.load_state_dict(own)
            self.logit_scale.data.copy_(state["logit_scale"].squeeze())
            if "logit_bias" in state:
                self.logit_bias.copy_(state["logit_bias"].squeeze())
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"{file} does not hold this text tower: {error}") from error

    def encode_text(self, text: Int64[Tensor, "n context"], normalize: bool = False) -> Float[Tensor, "n dim"]:
        """Embeds tokenised texts, with length 1 if `normalize`; open_clip calls it by this name."""
        features: Tensor = self.network(text)
        return functional.normalize(features, dim=-1) if normalize else features
