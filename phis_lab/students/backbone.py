"""The student's backbone: a timm vision transformer that returns its class token and its patch tokens."""

from collections.abc import Sequence

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import interpolate

from phis_lab.shapes import Float
from phis_lab.teachers import Features


class Backbone(nn.Module):
    """Images in [0, 1] to the tokens of a vision transformer, after its final norm.

    Args:
        vit: transformer with a class token, built for one square image size.
        mean: of each colour channel, subtracted from the images.
        std: of each colour channel, by which they are divided.

    Attributes:
        width: channels of the tokens.
        grid: rows and columns of patch tokens.
        image_size: side of the images in pixels; others are resized to it.

    Raises:
        ValueError: the image cannot be cut into patches.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, vit: VisionTransformer, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.vit = vit
        self.width: int = vit.embed_dim
        self.grid: tuple[int, int] = vit.patch_embed.grid_size
        self.image_size: int = vit.patch_embed.img_size[0]
        patch_size = vit.patch_embed.patch_size[0]
        if self.image_size % patch_size:
            raise ValueError(f"image_size must be a multiple of the patch of {patch_size}, got {self.image_size}")
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: Float[Tensor, "batch 3 _ _"]) -> Features:
        """Returns the class token [batch, width] and the patch tokens [batch, h, w, width]."""
        size = (self.image_size, self.image_size)
        if images.shape[-2:] != size:
            images = interpolate(images, size, mode="bilinear", antialias=True)
        tokens = self.vit.forward_features((images - self.mean) / self.std)
        return Features(tokens[:, 0], tokens[:, self.vit.num_prefix_tokens :].unflatten(1, self.grid))


class ViT(Backbone):
    """A vision transformer of any size at timm's initialisation; by default the pocket student of 16 tokens.

    Args:
        image_size: side of the images in pixels, a multiple of `patch_size`.
        patch_size: side of a patch in pixels.
        width: channels of the tokens, a multiple of `heads`.
        depth: number of blocks.
        heads: attention heads of each block.
        drop_path: rate of stochastic depth at the last block, from 0 at the first.

    Raises:
        ValueError: the image cannot be cut into patches, or the width into heads.
    """

    def __init__(
        self,
        image_size: int = 64,
        patch_size: int = 16,
        *,
        width: int = 192,
        depth: int = 6,
        heads: int = 3,
        drop_path: float = 0.0,
    ) -> None:
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got width {width} and {heads} heads")
        vit = VisionTransformer(
            img_size=image_size,
            patch_size=patch_size,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            drop_path_rate=drop_path,
            num_classes=0,
        )
        super().__init__(vit, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
