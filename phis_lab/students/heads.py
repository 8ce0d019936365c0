"""Heads: from the student's width to the channels of one teacher."""

from torch import Tensor, nn

from phis_lab.shapes import Float


class MLPHead(nn.Module):
    """Two linear layers with LayerNorm and GELU between them (AM-RADIO, section 3.4).

    The last layer is `output`; a normaliser's inverse folds into it, so the exported head predicts the
    teacher itself at no cost.

    Args:
        in_dim: width of the student.
        out_dim: channels of the teacher's feature.
        hidden: width between the layers; None takes `widest`.
        widest: the widest feature of any teacher, which `Student` passes; None takes `out_dim`.
    """

    def __init__(self, in_dim: int, out_dim: int, hidden: int | None = None, *, widest: int | None = None) -> None:
        super().__init__()
        hidden = hidden or widest or out_dim
        self.input = nn.Linear(in_dim, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.activation = nn.GELU()
        self.output = nn.Linear(hidden, out_dim)

    def forward(self, tokens: Float[Tensor, "*tokens in_dim"]) -> Float[Tensor, "*tokens out_dim"]:
        """Returns the prediction for each token."""
        prediction: Tensor = self.output(self.activation(self.norm(self.input(tokens))))
        return prediction
