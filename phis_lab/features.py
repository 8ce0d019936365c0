"""What flows through every room: a network's features of a batch, and their grid of tokens."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from phis_lab.guards import require_tensors
from phis_lab.shapes import Float

Kind = Literal["summary", "spatial"]

Tokens = Literal["summary", "spatial", "both"]
"""What is made of features for those who want one row an image: see `Features.pooled`."""

Grid = tuple[int, int]
"""Rows and columns of tokens."""

Resize = Literal["antialias", "bilinear"]
"""How features are resampled to another grid: see `match_grid`."""


class Features(NamedTuple):
    """One network's view of a batch; what the network does not have is None.

    >>> features = Features(summary=torch.ones(2, 8), spatial=torch.ones(2, 4, 4, 16))
    >>> features.pooled("both").shape
    torch.Size([2, 24])
    """

    summary: Float[Tensor, "b d"] | None
    spatial: Float[Tensor, "b h w c"] | None

    def kinds(self) -> dict[Kind, Tensor]:
        """The kinds that there are, the summary first."""
        found: dict[Kind, Tensor] = {}
        if self.summary is not None:
            found["summary"] = self.summary
        if self.spatial is not None:
            found["spatial"] = self.spatial
        return found

    def map(self, function: Callable[[Tensor], Tensor]) -> "Features":
        """The function's value of each kind that there is."""
        return Features(*(None if tensor is None else function(tensor) for tensor in self))

    def float(self) -> "Features":
        """The same in float32."""
        return self.map(Tensor.float)

    def pooled(self, which: Tokens) -> Float[Tensor, "b d"]:
        """The summary, the mean of the spatial tokens, or both joined: one row an image.

        Raises:
            ValueError: there are no such features.
        """
        mean = None if self.spatial is None else self.spatial.mean(dim=(1, 2))
        wanted = {"summary": [self.summary], "spatial": [mean], "both": [self.summary, mean]}[which]
        parts = [part for part in wanted if part is not None]
        if len(parts) < len(wanted):
            raise ValueError(f"tokens={which} were asked for, which this network does not have")
        return torch.cat(parts, dim=1)

    def per_image(self) -> Float[Tensor, "b d"]:
        """The summary, or the mean of the spatial tokens of a network without one."""
        return self.pooled("spatial" if self.summary is None else "summary")


GridFeatures = Mapping[Grid, Mapping[str, Features]]
"""Features by the students' grid to which they are resampled, and by teacher."""


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
