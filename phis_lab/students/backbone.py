"""The student's backbone: a timm vision transformer that returns its class tokens and its patch tokens."""

from collections.abc import Sequence
from typing import Literal

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import interpolate

from phis_lab.bounds import Above, Layers, Side, SmallShare, Width
from phis_lab.features import Features
from phis_lab.shapes import Float
from phis_lab.students.positions import CroppedPositions, LearnedPositions
from phis_lab.students.spectral import reparametrize
from phis_lab.teachers.image_sizes import nearest_sizes

ClassTokens = Literal["shared", "per_teacher"]


class Backbone(nn.Module):
    """Images in [0, 1] to the tokens of a vision transformer, after its final norm.

    Args:
        vit: transformer with a class token, built for one square image size and with `dynamic_img_size`.
        mean: of each colour channel, subtracted from the images.
        std: of each colour channel, by which they are divided.
        class_tokens: "per_teacher" gives every teacher with a summary a class token of its own (PHI-S, section 3);
            `Student` then calls `grow_class_tokens`.
        cpe_max_size: cropped position embeddings (CPE, AM-RADIO) for images up to so many pixels; None keeps learned
            ones of `image_size`, resampled for other sizes.
        spectral: spectral reparametrisation of the blocks' linear layers (PHI-S, appendix A.7).
        shared_heads: one head of each teacher reads class and patch tokens (UNIC, table 1, without "DP").

    Attributes:
        width: channels of the tokens.
        patch_size: side of a patch in pixels.
        image_size: side of the images in pixels unless `forward` is told another one.
        resizes: False takes images as they come, of whole patches and of any aspect ratio.

    Raises:
        ValueError: the image cannot be cut into patches.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        vit: VisionTransformer,
        mean: Sequence[float],
        std: Sequence[float],
        class_tokens: ClassTokens = "shared",
        cpe_max_size: Side | None = None,
        spectral: bool = False,
        shared_heads: bool = False,
    ) -> None:
        super().__init__()
        self.vit = vit
        self.width: int = vit.embed_dim
        self.patch_size: int = vit.patch_embed.patch_size[0]
        self.image_size: int = vit.patch_embed.img_size[0]
        self.class_tokens: ClassTokens = class_tokens
        self.cpe_max_size, self.shared_heads = cpe_max_size, shared_heads
        self.resizes = True
        for option, size in (("image_size", self.image_size), ("cpe_max_size", cpe_max_size)):
            if size is not None and size % self.patch_size:
                raise ValueError(
                    f"{option} must be a multiple of the patch of {self.patch_size}, got {size}; "
                    f"{nearest_sizes(size, self.patch_size)}"
                )
        embedding = self._take_positions()
        self.positions: nn.Module = (
            LearnedPositions(embedding)
            if cpe_max_size is None
            else CroppedPositions(embedding, cpe_max_size // self.patch_size)
        )
        if spectral:
            reparametrize(vit.blocks)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def _take_positions(self) -> Tensor:
        """Position embeddings of the patches [h, w, width]; those of the prefix are added to its tokens for good."""
        vit = self.vit
        positions: Tensor = vit.pos_embed.detach()[0]
        rows, columns = vit.patch_embed.grid_size
        if not vit.no_embed_class:
            positions, prefix = positions[vit.num_prefix_tokens :], positions[: vit.num_prefix_tokens]
            vit.cls_token.data += prefix[:1]
            if vit.reg_token is not None:
                vit.reg_token.data += prefix[1:]
        vit.pos_embed = None
        on_grid: Tensor = positions.unflatten(0, (rows, columns))
        return on_grid

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patch tokens at `image_size`."""
        return self.grid_at(1.0)

    def image_size_at(self, factor: float) -> int:
        """Side in pixels of images `factor` times as large as `image_size`, in whole patches.

        Raises:
            ValueError: the cropped position embeddings are made for smaller ones.
        """
        side = max(1, round(self.image_size * factor / self.patch_size)) * self.patch_size
        if self.cpe_max_size is not None and side > self.cpe_max_size:
            raise ValueError(f"images of {side} px exceed student.cpe_max_size={self.cpe_max_size}; raise that")
        return side

    def grid_at(self, factor: float) -> tuple[int, int]:
        """Rows and columns of patch tokens of such images."""
        side = self.image_size_at(factor) // self.patch_size
        return side, side

    def grow_class_tokens(self, count: int) -> None:
        """Make `count` class tokens, at least one, that all begin as copies of the first."""
        self.vit.cls_token = nn.Parameter(self.vit.cls_token.detach()[:, :1].repeat(1, max(count, 1), 1))

    def forward(self, images: Float[Tensor, "batch 3 _ _"], image_size: int | None = None) -> Features:
        """Returns the class tokens side by side [batch, tokens * width] and the patch tokens [batch, h, w, width].

        Args:
            images: resized to `image_size` where they have another size.
            image_size: a multiple of the patch; None takes the backbone's own.
        """
        tokens, grid = self._embed(images, image_size)
        return self._split(self.vit.norm(self.vit.blocks(tokens)), grid)

    def forward_blocks(
        self, images: Float[Tensor, "batch 3 _ _"], image_size: int | None = None
    ) -> tuple[Features, list[Features]]:
        """Returns what `forward` returns, and the tokens after every block, before the final norm."""
        tokens, grid = self._embed(images, image_size)
        raw: list[Features] = []
        for block in self.vit.blocks:
            tokens = block(tokens)
            raw.append(self._split(tokens, grid))
        return self._split(self.vit.norm(tokens), grid), raw

    def _embed(self, images: Tensor, image_size: int | None) -> tuple[Tensor, tuple[int, int]]:
        """Prefix and patch tokens as the first block sees them, and the grid of the latter."""
        side = image_size or self.image_size
        if self.resizes and images.shape[-2:] != (side, side):
            images = interpolate(images, (side, side), mode="bilinear", antialias=True)
        patches = self.vit.patch_embed((images - self.mean) / self.std)
        rows, columns = patches.shape[1:3]
        patches = (patches + self.positions((rows, columns), len(patches))).flatten(1, 2)
        prefix = [token.expand(patches.shape[0], -1, -1) for token in self._prefix()]
        tokens = self.vit.norm_pre(self.vit.pos_drop(torch.cat([*prefix, patches], dim=1)))
        return tokens, (rows, columns)

    def _split(self, tokens: Tensor, grid: tuple[int, int]) -> Features:
        classes, *registers = (token.shape[1] for token in self._prefix())
        return Features(tokens[:, :classes].flatten(1), tokens[:, classes + sum(registers) :].unflatten(1, grid))

    def _prefix(self) -> list[Tensor]:
        """Class tokens and, where there are any, registers."""
        return [token for token in (self.vit.cls_token, self.vit.reg_token) if token is not None]


class ViT(Backbone):
    """A vision transformer of any size at timm's initialisation; by default the pocket student of 16 tokens.

    Args:
        image_size: side of the images in pixels, a multiple of `patch_size`.
        patch_size: side of a patch in pixels.
        width: channels of the tokens, a multiple of `heads`.
        depth: number of blocks.
        heads: attention heads of each block.
        drop_path: rate of stochastic depth at the last block, from 0 at the first.
        layer_scale: first value of a learned factor on every channel that a block adds (LayerScale); None has none.
        class_tokens: see `Backbone`.
        cpe_max_size: see `Backbone`.
        spectral: see `Backbone`.
        shared_heads: see `Backbone`.

    Raises:
        ValueError: the image cannot be cut into patches, or the width into heads.
    """

    def __init__(
        self,
        image_size: Side = 64,
        patch_size: Side = 16,
        *,
        width: Width = 192,
        depth: Layers = 6,
        heads: Width = 3,
        drop_path: SmallShare = 0.0,
        layer_scale: Above | None = None,
        class_tokens: ClassTokens = "shared",
        cpe_max_size: Side | None = None,
        spectral: bool = False,
        shared_heads: bool = False,
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
            init_values=layer_scale,
            num_classes=0,
            dynamic_img_size=True,
        )
        mean, std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
        super().__init__(vit, mean, std, class_tokens, cpe_max_size, spectral, shared_heads)
