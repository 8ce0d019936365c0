"""Brings spatial features to the student's grid."""

from typing import Literal

from torch import Tensor
from torch.nn import functional

from phis_lab.guards import require_tensors
from phis_lab.shapes import Float

Grid = tuple[int, int]
"""Rows and columns of tokens."""

Resize = Literal["antialias", "bilinear"]
"""How features are resampled to another grid: see `match_grid`."""


def match_grid(
    spatial: Float[Tensor, "b h w c"], grid: Grid, resize: Resize = "antialias"
) -> Float[Tensor, "b h2 w2 c"]:
    """Resamples features bilinearly to `grid = (h2, w2)`; equal grids pass through.

    The filter's weights sum to one, so a constant map stays constant. Antialiased, every token of a finer grid counts;
    it averages, and so leaves less of the variance: of white tokens, 0.165 from 27 x 27 to 16 x 16.

    Args:
        spatial: the features.
        grid: rows and columns that are wanted.
        resize: "antialias" widens the filter where the grid becomes coarser; "bilinear" takes the four tokens around
            each place, the corners' tokens lying on the corners, as NVIDIA's code for PHI-S and RADIO does. It leaves
            0.476 of the variance in that case.

    Raises:
        ValueError: the features have no grid.
    """
    require_tensors(spatial=spatial)
    if spatial.ndim != 4:
        raise ValueError(f"spatial features are [batch, height, width, channels], got {tuple(spatial.shape)}")
    if spatial.shape[1:3] == grid:
        return spatial.float()
    maps, antialias = spatial.float().permute(0, 3, 1, 2), resize == "antialias"
    resized = functional.interpolate(maps, grid, mode="bilinear", align_corners=not antialias, antialias=antialias)
    return resized.permute(0, 2, 3, 1)
