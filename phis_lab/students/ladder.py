"""UNIC's ladder of projectors: a head that reads every block of the student, not only the last."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from phis_lab.bounds import HiddenLayers, Width
from phis_lab.shapes import Float
from phis_lab.students.heads import MLPHead

_STD = 0.02


class LadderHead(nn.Module):
    """The sum of one projector per block: h(z) = sum_l h_l(z_l), each h_l linear, GELU, linear without a norm.

    z_l is the raw output of block l; the backbone's final norm is not applied. The last block always has a projector,
    so `blocks=[]` is UNIC's basic projector. A head is of one teacher and one kind of token, and expendable:
    evaluations read the backbone.

    Args:
        in_dim: width of the student.
        out_dim: channels of the teacher's feature.
        hidden: width between the layers for the blocks before the last; None takes `in_dim`.
        last_hidden: the same for the last block; None takes 4 times `in_dim`.
        blocks: which blocks before the last have a projector, counted from 1 as in UNIC's table I; None takes all.
        hidden_layers: of every projector; 0 makes them linear (UNIC, table H).
        depth: number of blocks of the student.

    Raises:
        ValueError: a block is not one of those before the last, or is named twice.

    Source:
        UNIC (arXiv 2408.05088), eq. 3 and section 3.4. Weights begin as truncated normal numbers of deviation 0.02,
        biases as zero.
    """

    needs_blocks: ClassVar[bool] = True
    """Tells the student to give the tokens of every block in place of the final ones."""

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        hidden: Width | None = None,
        last_hidden: Width | None = None,
        blocks: Sequence[int] | None = None,
        hidden_layers: HiddenLayers = 1,
        *,
        depth: int,
    ) -> None:
        super().__init__()
        chosen = range(1, depth) if blocks is None else sorted(blocks)
        _check(chosen, depth)
        self.depth = depth
        widths = dict.fromkeys(chosen, hidden or in_dim) | {depth: last_hidden or 4 * in_dim}
        self.projectors = nn.ModuleDict(
            {
                str(block): MLPHead(in_dim, out_dim, width, norm=False, hidden_layers=hidden_layers)
                for block, width in widths.items()
            }
        )
        self.apply(_initialise)

    def forward(self, tokens_by_block: Sequence[Float[Tensor, "*tokens in_dim"]]) -> Float[Tensor, "*tokens out_dim"]:
        """Returns the prediction for each token.

        Args:
            tokens_by_block: the output of every block, from the first to the last.

        Raises:
            ValueError: the number of blocks is not `depth`.
        """
        if len(tokens_by_block) != self.depth:
            raise ValueError(f"this ladder is for a student of {self.depth} blocks, got {len(tokens_by_block)}")
        first, *others = (projector(tokens_by_block[int(block) - 1]) for block, projector in self.projectors.items())
        prediction: Tensor = sum(others, start=first)
        return prediction


def _check(blocks: Sequence[int], depth: int) -> None:
    outside = [block for block in blocks if not 1 <= block < depth]
    if outside or len(set(blocks)) < len(blocks):
        raise ValueError(
            f"blocks are those before the last of a student of depth {depth}, each once and counted from 1: "
            f"1 to {depth - 1}, got {list(blocks)}; the last has a projector in any case"
        )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=_STD)
        nn.init.zeros_(module.bias)
