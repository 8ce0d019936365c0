"""Position embeddings of patch tokens: a learned grid that is resampled, or random crops of a large one."""

import math

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate

from phis_lab.features import Grid
from phis_lab.shapes import Float

SMALLEST_SCALE = math.sqrt(0.1)
WIDEST_ASPECT = 4 / 3


class LearnedPositions(nn.Module):
    """One learned vector per cell of a grid; other grids resample it as timm does (bicubic, antialiased).

    Args:
        embedding: start of the parameter, which is a copy of it.
    """

    def __init__(self, embedding: Float[Tensor, "h0 w0 width"]) -> None:
        super().__init__()
        self.embedding = nn.Parameter(embedding.detach().clone())

    def forward(self, grid: Grid, batch: int) -> Float[Tensor, "1 h w width"]:
        """The embedding on a grid of (rows, columns), the same for all `batch` images."""
        return _resampled(self.embedding, grid)


class CroppedPositions(nn.Module):
    """Cropped position embedding: a large square grid, of which each image of a training batch sees a random crop.

    A crop spans `scale` of the grid's side, scale ~ U[sqrt(0.1), 1], with a log-uniform width over height in
    [3/4, 4/3], cut off at the grid's border; the cells of the images' grid are spread over it from corner to corner
    and sample it bilinearly. The backbone so learns positions of every grid up to `cells`, whatever grid it trains on.
    In evaluation the square grid is resized bilinearly, corner on corner, to the longer side of the images' grid, of
    which the top left window is taken: what a crop of scale and aspect 1 samples.

    A grid that is not square samples a window of that square crop, so that neighbouring cells are as far apart as in
    evaluation.

    Args:
        embedding: start of the parameter, resampled to cells x cells as timm does.
        cells: side of the grid, the largest that images can have; 128 are 2048 pixels in patches of 16.

    Source:
        AM-RADIO (arXiv 2312.06709), after Kim et al. 2023 (RO-ViT).
    """

    def __init__(self, embedding: Float[Tensor, "h0 w0 width"], cells: int) -> None:
        super().__init__()
        if cells < 1:
            raise ValueError(f"cells must be a positive number of patches, got {cells}")
        self.cells = cells
        self.embedding = nn.Parameter(_resampled(embedding.detach(), (cells, cells)).squeeze(0).clone())

    def forward(self, grid: Grid, batch: int) -> Float[Tensor, "#batch h w width"]:
        """The embedding on a grid of (rows, columns): one for all images, or in training mode one for each.

        Raises:
            ValueError: the grid is larger than `cells`.
        """
        if max(grid) > self.cells:
            raise ValueError(
                f"the position embedding has {self.cells} x {self.cells} cells and the images {grid[0]} x {grid[1]} "
                "patches; give smaller images, or train with more cells"
            )
        return self._crops(grid, batch) if self.training else self._window(grid)

    def _window(self, grid: Grid) -> Tensor:
        side = (max(grid), max(grid))
        square = interpolate(_planes(self.embedding), side, mode="bilinear", align_corners=True)
        return square[:, :, : grid[0], : grid[1]].permute(0, 2, 3, 1).to(self.embedding.dtype)

    def _crops(self, grid: Grid, batch: int) -> Tensor:
        planes = _planes(self.embedding)
        rows, columns = _draw_crops(grid, batch, planes)
        points = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=-1)
        # The crops lie below each other in one sampling, so that neither the grid nor its gradient is repeated.
        below = points.flatten(0, 1)[None]
        sampled = grid_sample(planes, below, "bilinear", padding_mode="border", align_corners=True)
        crops: Tensor = sampled.unflatten(2, (batch, grid[0]))[0].permute(1, 2, 3, 0)
        return crops.to(self.embedding.dtype)


def _draw_crops(grid: Grid, batch: int, like: Tensor) -> tuple[Float[Tensor, "batch h"], Float[Tensor, "batch w"]]:
    """Rows and columns at which each image samples, in [-1, 1] from corner to corner of the square."""
    scale, aspect, top, left = torch.rand(4, batch, 1, device=like.device, dtype=like.dtype)
    scale = SMALLEST_SCALE + (1 - SMALLEST_SCALE) * scale
    stretch = torch.exp((aspect - 0.5) * math.log(WIDEST_ASPECT))  # the root of width over height
    between = scale / max(1, *(cells - 1 for cells in grid))  # neighbouring cells of a square crop of the longer side
    return (
        _spread(between / stretch * (grid[0] - 1), top, grid[0]),
        _spread(between * stretch * (grid[1] - 1), left, grid[1]),
    )


def _spread(extent: Float[Tensor, "batch 1"], place: Float[Tensor, "batch 1"], cells: int) -> Float[Tensor, "batch n"]:
    """`cells` points from end to end of an interval of [-1, 1] that spans the share `extent` of it."""
    extent = extent.clamp(max=1)
    steps = torch.linspace(0, 1, cells, device=extent.device, dtype=extent.dtype)
    return 2 * (place * (1 - extent) + extent * steps) - 1


def _planes(embedding: Float[Tensor, "h w width"]) -> Float[Tensor, "1 width h w"]:
    """The embedding as images that torch samples, in float32 at least."""
    return embedding.to(torch.promote_types(embedding.dtype, torch.float32)).permute(2, 0, 1)[None]


def _resampled(embedding: Float[Tensor, "h0 w0 width"], grid: Grid) -> Float[Tensor, "1 h w width"]:
    size = list(embedding.shape[:2])
    tokens: Tensor = resample_abs_pos_embed(embedding.flatten(0, 1)[None], list(grid), size, num_prefix_tokens=0)
    grids: Tensor = tokens.unflatten(1, grid)
    return grids
