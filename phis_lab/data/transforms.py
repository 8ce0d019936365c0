"""The one augmentation pipeline, whose pixels depend on (seed, image, view) and on nothing else."""

from functools import partial
from importlib.metadata import version
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from phis_lab.bounds import Positive, Seed, Side
from phis_lab.seeds import named_seed
from phis_lab.shapes import Float

_LONGEST = 16

Interpolation = Literal["bilinear", "bicubic"]
"""Filter of a resize; both are antialiased."""


class Augmentation:
    """A random crop, resized and perhaps flipped; for evaluations the resized centre.

    A view is drawn from a generator of its own, seeded by (seed, index, view). It is therefore the same in
    whichever process, step or order it is rendered, which lets teacher features be stored and runs be
    resumed.

    Args:
        image_size: height and width of the result in pixels.
        scale: smallest and largest share of the image's area that a crop takes.
        ratio: smallest and largest width / height of a crop.
        flip: mirror a view with probability one half.
        views: how many fixed views an image has, taken in turn over the epochs; None draws a fresh one every
            epoch.
        seed: of the fixed views, which belong to the data: runs of every seed share them and their teacher
            features. Fresh views follow the seed of the data instead.
        colour: "unic" jitters colours, greys, blurs and solarises as UNIC does, after DeiT-III; "none" leaves them.
        interpolation: filter of every resize, antialiased; UNIC and TinTeM resize bicubically.
        central_size: pixels to which the shorter side of an image is resized for an evaluation, before its centre is
            cut out; None takes `image_size` (UNIC), TinTeM takes 256 for crops of 224.
        shift: pixels, whole patches of the student, by which a training view is larger than `image_size`; student
            and teachers see crops of it at places of their own, and the spatial loss compares the tokens that both
            see (the shift-equivariant loss of C-RADIOv4, arXiv 2601.17237). 0 shows both the same image.

    Raises:
        ValueError: one of them is out of its range.
    """

    def __init__(
        self,
        image_size: Side,
        scale: tuple[float, float] = (0.4, 1.0),
        ratio: tuple[float, float] = (0.75, 1.3333),
        flip: bool = True,
        views: Positive | None = None,
        seed: Seed = 0,
        shift: Annotated[int, Field(ge=0, le=2**14)] = 0,
        colour: Literal["none", "unic"] = "none",
        interpolation: Interpolation = "bilinear",
        central_size: Side | None = None,
    ) -> None:
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"scale is a range of area shares within (0, 1], got {scale}")
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"ratio is a range of positive width / height, got {ratio}")
        if image_size < 1:
            raise ValueError(f"image_size is a positive number of pixels, got {image_size}")
        if views is not None and views < 1:
            raise ValueError(f"views is a positive number or null for fresh ones every epoch, got {views}")
        if shift and views is not None:
            raise ValueError("shift moves the crops in every step, which fixed views do not; set views to null")
        if central_size is not None and central_size < image_size:
            raise ValueError(f"central_size must hold the centre of {image_size} px, got {central_size}")
        self.image_size, self.views, self.seed, self.shift = image_size, views, seed, shift
        self.central_size = central_size
        self._resized = partial(
            Augmentation,
            scale=scale,
            ratio=ratio,
            flip=flip,
            views=views,
            seed=seed,
            shift=shift,
            colour=colour,
            interpolation=interpolation,
        )
        self._resize = {} if interpolation == "bilinear" else {"interpolation": interpolation}
        self._crop = {"scale": list(scale), "ratio": list(ratio), "flip": flip} | (
            {} if colour == "none" else {"colour": colour}
        )
        resize = {"interpolation": v2.InterpolationMode(interpolation), "antialias": True}
        to_float = v2.ToDtype(torch.float32, scale=True)
        self._random = v2.Compose(
            [
                v2.RandomResizedCrop(image_size + shift, scale=scale, ratio=ratio, **resize),
                v2.RandomHorizontalFlip(0.5 if flip else 0.0),
                to_float,
                *(_unic_colours() if colour == "unic" else ()),
            ]
        )
        self._central = v2.Compose([central_view(image_size, interpolation, central_size), to_float])

    def resized(self, factor: float) -> "Augmentation":
        """The same with images `factor` times as large."""
        shorter = None if self.central_size is None else round(self.central_size * factor)
        return self._resized(max(1, round(self.image_size * factor)), central_size=shorter)

    def fixed_recipe(self) -> dict[str, Any]:
        """What the pixels of a fixed view depend on besides the image, its index and the view."""
        return self._pixels() | {"crop": self._crop, "seed": self.seed}

    def central_recipe(self) -> dict[str, Any]:
        """What the pixels of the central view depend on besides the image."""
        shorter = {} if self.central_size is None else {"central_size": self.central_size}
        return self._pixels() | {"crop": "centre"} | shorter

    def _pixels(self) -> dict[str, Any]:
        return self._resize | {"image_size": self.image_size, "torchvision": version("torchvision")}

    def random_view(self, image: Tensor, seed: int, index: int, view: int) -> Float[Tensor, "3 side side"]:
        """Renders view `view` of the uint8 image `index`, in [0, 1], `image_size + shift` pixels wide."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(named_seed("view", seed, index, view))
            rendered: Tensor = self._random(image)
        return rendered

    def central_view(self, image: Tensor) -> Float[Tensor, "3 image_size image_size"]:
        """Renders the uint8 image for an evaluation: shorter side resized, then the centre, in [0, 1]."""
        rendered: Tensor = self._central(image)
        return rendered


def central_view(side: int, interpolation: Interpolation, central_size: int | None = None) -> v2.Compose:
    """What every evaluation sees of an image: its shorter side resized, antialiased, and the centre cut out.

    It takes and gives uint8 images, or pairs of an image and its mask, which is resized by the nearest pixel.

    Args:
        side: height and width of the result in pixels.
        interpolation: filter of the resize.
        central_size: pixels to which the shorter side is resized; None takes `side`, so that nothing of it is cut off.
    """
    resize = v2.Resize(central_size or side, v2.InterpolationMode(interpolation), antialias=True)
    return v2.Compose([v2.Lambda(central_part), resize, v2.CenterCrop(side)])


def central_part(image: Tensor) -> Tensor:
    """Cuts the ends off an image or a mask [..., h, w] that is more than 16 times as long as wide.

    Resizing the shorter side would enlarge the whole of it, of which a central crop keeps one part in 16 or less: a
    strip of 1 x 60,000 pixels would take gigabytes. Other images are returned as they are.
    """
    height, width = image.shape[-2:]
    most = _LONGEST * min(height, width)
    if max(height, width) <= most:
        return image
    top, left = (max(0, length - most) // 2 for length in (height, width))
    cut: Tensor = tv_tensors.wrap(image[..., top : top + most, left : left + most], like=image)
    return cut


def _unic_colours() -> tuple[v2.Transform, ...]:
    """The colour part of UNIC's augmentation, for images in [0, 1]."""
    return (
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
        v2.RandomGrayscale(0.2),
        v2.RandomApply([v2.GaussianBlur(9, (0.1, 5.0))], 0.2),
        v2.RandomSolarize(0.5, 0.2),
    )
