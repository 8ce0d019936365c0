"""Brings spatial features to the student's grid."""

from torch import Tensor
from torch.nn import functional

from phis_lab.shapes import Float

Grid = tuple[int, int]
"""Rows and columns of tokens."""


def match_grid(spatial: Float[Tensor, "b h w c"], grid: Grid) -> Float[Tensor, "b h2 w2 c"]:
    """Resamples features bilinearly to `grid = (h2, w2)`, antialiased; equal grids pass through.

    The filter's weights sum to one, so a constant map stays constant and a mean over channels is kept up to
    the border.
    """
    if spatial.shape[1:3] == grid:
        return spatial.float()
    maps = spatial.float().permute(0, 3, 1, 2)
    return functional.interpolate(maps, grid, mode="bilinear", align_corners=False, antialias=True).permute(0, 2, 3, 1)
