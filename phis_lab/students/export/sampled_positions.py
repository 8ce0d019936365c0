"""Position embeddings on any grid by products with matrices, which a graph can hold where it cannot resample."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from phis_lab.shapes import Float
from phis_lab.students.positions import CroppedPositions, LearnedPositions

Side = Any
"""Cells of a grid's side: an int, and a tensor while a graph is traced."""
CUBIC = -0.5
"""The coefficient of antialiased bicubic resampling, in torch as in Pillow."""


def can_sample(positions: nn.Module) -> bool:
    """Whether `sampled` knows this kind."""
    return type(positions) in (LearnedPositions, CroppedPositions)


def sampled(positions: nn.Module) -> nn.Module:
    """A module that gives the same embeddings in evaluation, on any grid of a traced graph."""
    assert isinstance(positions, LearnedPositions | CroppedPositions)
    kind = _Resampled if isinstance(positions, LearnedPositions) else _Window
    return kind(positions.embedding)


class _Sampled(nn.Module):
    """An embedding between two matrices, one for the rows of a grid and one for its columns."""

    def __init__(self, embedding: Tensor) -> None:
        super().__init__()
        self.embedding = embedding
        self.cells = tuple(map(int, embedding.shape[:2]))

    def forward(self, grid: tuple[Side, Side], batch: Side) -> Float[Tensor, "1 h w width"]:
        """The embedding on a grid."""
        del batch
        rows, columns = self.weights(grid)
        wide = torch.einsum("hi,ijc->hjc", rows, self.embedding.float())
        return torch.einsum("wj,hjc->hwc", columns, wide)[None].to(self.embedding.dtype)

    @abstractmethod
    def weights(self, grid: tuple[Side, Side]) -> tuple[Tensor, Tensor]:
        """What makes the grid's rows of the embedding's, and its columns likewise."""


class _Resampled(_Sampled):
    """What `LearnedPositions` gives: bicubic, antialiased, and the embedding itself on its own grid."""

    def weights(self, grid: tuple[Side, Side]) -> tuple[Tensor, Tensor]:
        rows, columns = (bicubic(cells, size) for cells, size in zip(self.cells, grid, strict=True))
        return rows, columns


class _Window(_Sampled):
    """What `CroppedPositions` gives in evaluation: the top left window of the square, resized corner on corner."""

    def weights(self, grid: tuple[Side, Side]) -> tuple[Tensor, Tensor]:
        sides = [torch.as_tensor(size) for size in grid]
        longer = torch.maximum(*sides)
        rows, columns = (_corner_on_corner(self.cells[0], longer)[:size] for size in sides)
        return rows, columns


def bicubic(cells: int, size: Side) -> Float[Tensor, "size cells"]:
    """Weights by which antialiased bicubic resampling makes `size` values of `cells`.

    A value at the centre c = (i + 1/2) cells / size of its cell weighs cell j by k((j + 1/2 - c) / s), with Keys'
    kernel k, s = max(1, cells / size), and the weights of a row adding up to 1.
    """
    step = torch.as_tensor(cells / torch.as_tensor(size), dtype=torch.float32)
    centre = (torch.arange(size, dtype=torch.float32) + 0.5) * step
    distance = (torch.arange(cells, dtype=torch.float32) + 0.5 - centre[:, None]) / step.clamp(min=1.0)
    weights = _keys(distance.abs())
    return weights / weights.sum(dim=1, keepdim=True)


def _keys(x: Tensor) -> Tensor:
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * CUBIC - 4 * CUBIC
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _corner_on_corner(cells: int, size: Any) -> Float[Tensor, "size cells"]:
    """Weights of bilinear interpolation with the first and the last value on the first and the last cell."""
    step = (cells - 1) / (size - 1).clamp(min=1)
    place = torch.arange(size, dtype=torch.float32) * step
    distance = (torch.arange(cells, dtype=torch.float32) - place[:, None]).abs()
    weights: Tensor = (1 - distance).clamp(min=0)
    return weights
