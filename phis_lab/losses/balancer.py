"""What all balancers share: rows of losses in, one number out."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from phis_lab.guards import require_tensors
from phis_lab.shapes import Float


class Balancer(nn.Module, ABC):
    """Weighs rows of losses, averages them over images and sums them over rows."""

    @abstractmethod
    def weigh(self, rows: Float[Tensor, "rows batch"]) -> Float[Tensor, "rows #batch"]:
        """Returns a weight for each row, or for each image of each row; `rows` carry no gradient."""

    def reseed(self, name: str) -> None:
        """Begin draws of its own, named by stage and partition; a balancer that draws nothing ignores it."""

    def forward(self, rows: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """Returns sum over rows of mean over images of weight times loss.

        Args:
            rows: [rows, batch], one row per teacher and kind of feature, in an order that never changes.

        Raises:
            ValueError: `rows` is not a non-empty matrix.
        """
        require_tensors(rows=rows)
        if rows.ndim != 2 or rows.numel() == 0:
            raise ValueError(f"losses must be stacked as [rows, batch] and not be empty, got {tuple(rows.shape)}")
        return (self.weigh(rows.detach()) * rows).mean(dim=1).sum()
