"""The head of linear segmentation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from phis_lab.shapes import Float

_START_STD = 0.01


class SegmentationHead(nn.Module):
    """Patch tokens to logits per pixel: batch norm, one linear layer, bilinear upsampling.

    Args:
        dim: channels of the tokens.
        classes: number of classes.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim)
        self.linear = nn.Linear(dim, classes)

    def forward(self, tokens: Float[Tensor, "b h w c"], size: Sequence[int]) -> Float[Tensor, "b classes height width"]:
        """Returns the logits of every pixel of images of `size` (height, width)."""
        grid = tokens.shape[:3]
        logits: Tensor = self.linear(self.norm(tokens.flatten(0, 2))).unflatten(0, grid)
        return interpolate(logits.permute(0, 3, 1, 2), tuple(size), mode="bilinear", align_corners=False)


def make_head(dim: int, classes: int, seed: int) -> SegmentationHead:
    """A head with weights from N(0, 0.01^2) and biases 0, drawn from a generator of its own."""
    with torch.random.fork_rng(devices=[]):
        head = SegmentationHead(dim, classes)
    with torch.no_grad():
        head.linear.weight.normal_(0, _START_STD, generator=torch.Generator().manual_seed(seed))
        head.linear.bias.zero_()
    return head
