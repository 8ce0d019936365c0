"""Heads: from the student's width to the channels of one teacher."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from phis_lab.bounds import HiddenLayers, Width
from phis_lab.shapes import Float


class MLPHead(nn.Module):
    """Two linear layers with LayerNorm and GELU between them (AM-RADIO, section 3.4), or more, or one.

    The last layer is `output`; a normaliser's inverse folds into it, so the exported head predicts the
    teacher itself at no cost.

    Args:
        in_dim: width of the student.
        out_dim: channels of the teacher's feature.
        hidden: width between the layers; None takes `hidden_ratio`.
        hidden_ratio: the same in units of `in_dim`; None takes `widest`.
        norm: False leaves out the LayerNorm.
        hidden_layers: how many of linear, LayerNorm and GELU come before the last linear layer.
        widest: the widest feature of any teacher, which `Student` passes; None takes `out_dim`.

    Raises:
        ValueError: both `hidden` and `hidden_ratio` are given.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        hidden: Width | None = None,
        hidden_ratio: Annotated[float | int, Field(gt=0, le=1000)] | None = None,
        norm: bool = True,
        hidden_layers: HiddenLayers = 1,
        *,
        widest: int | None = None,
    ) -> None:
        super().__init__()
        if hidden is not None and hidden_ratio is not None:
            raise ValueError(f"hidden={hidden} and hidden_ratio={hidden_ratio} both set one width; give one of them")
        if hidden_ratio is not None:
            hidden = max(1, round(hidden_ratio * in_dim))
        hidden = hidden or widest or out_dim
        plain = hidden_layers == 0
        self.input = nn.Identity() if plain else nn.Linear(in_dim, hidden)
        self.norm = nn.LayerNorm(hidden) if norm and not plain else nn.Identity()
        self.activation = nn.Identity() if plain else nn.GELU()
        self.deeper = nn.Sequential(*(_layer(hidden, norm) for _ in range(hidden_layers - 1)))
        self.output = nn.Linear(in_dim if plain else hidden, out_dim)

    def forward(self, tokens: Float[Tensor, "*tokens in_dim"]) -> Float[Tensor, "*tokens out_dim"]:
        """Returns the prediction for each token."""
        prediction: Tensor = self.output(self.deeper(self.activation(self.norm(self.input(tokens)))))
        return prediction


def _layer(width: int, norm: bool) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width) if norm else nn.Identity(), nn.GELU())


class LinearHead(nn.Module):
    """LayerNorm and one linear layer, `output`: Proteus' head.

    Args:
        in_dim: width of the student.
        out_dim: channels of the teacher's feature.
        norm: False leaves out the LayerNorm.
        widest: the widest feature of any teacher, which changes nothing here.
    """

    def __init__(self, in_dim: int, out_dim: int, norm: bool = True, *, widest: int | None = None) -> None:
        super().__init__()
        del widest
        self.norm = nn.LayerNorm(in_dim) if norm else nn.Identity()
        self.output = nn.Linear(in_dim, out_dim)

    def forward(self, tokens: Float[Tensor, "*tokens in_dim"]) -> Float[Tensor, "*tokens out_dim"]:
        """Returns the prediction for each token."""
        prediction: Tensor = self.output(self.norm(tokens))
        return prediction


class IdentityHead(nn.Module):
    """No head: the student's tokens are the prediction, as in TinTeM.

    Args:
        in_dim: width of the student.
        out_dim: channels of the target, which must be as many.
        widest: the widest feature of any teacher, which changes nothing here.

    Raises:
        ValueError: the target has another number of channels.
    """

    def __init__(self, in_dim: int, out_dim: int, *, widest: int | None = None) -> None:
        super().__init__()
        del widest
        if in_dim != out_dim:
            raise ValueError(
                f"without a head the target must be as wide as the student, {in_dim}, got {out_dim}; let the "
                "normaliser compress the teacher to the student's width, or choose another head"
            )

    def forward(self, tokens: Float[Tensor, "*tokens dim"]) -> Float[Tensor, "*tokens dim"]:
        """Returns the tokens."""
        return tokens
