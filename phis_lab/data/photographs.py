"""Crops of the photographs that scikit-image bundles: data unlike any other here, without a download."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from phis_lab.bounds import Positive, Side
from phis_lab.data.datasource import DataSource
from phis_lab.data.decoding import decode_image
from phis_lab.data.source import UNLABELLED, TensorImages

_NAMES = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png"),
    *("hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg"),
)


@dataclass(frozen=True, kw_only=True)
class Photographs(DataSource):
    """Square crops at random places of 14 photographs, unlabelled: train from left halves, test from right halves.

    Attributes:
        crops: of each half of all photographs together; they take turns.
        size: side of a crop in pixels, at most 192.
    """

    crops: Positive = 500
    size: Side = 96

    def read(self) -> tuple[TensorImages, TensorImages]:
        """Returns the train and the test crops.

        Raises:
            ModuleNotFoundError: scikit-image is not installed.
            ValueError: crops larger than half a photograph.
        """
        folder = bundled_folder()
        photographs = [decode_image((folder / name).read_bytes(), name) for name in _NAMES]
        halves = [photograph.tensor_split(2, dim=2) for photograph in photographs]
        train, test = (
            TensorImages(
                f"photographs/{split}", self._crops(list(side), seed), torch.full((self.crops,), UNLABELLED), ()
            )
            for seed, (split, side) in enumerate(zip(("train", "test"), zip(*halves, strict=True), strict=True))
        )
        return train, test

    def _crops(self, images: list[Tensor], seed: int) -> Tensor:
        smallest = min(min(image.shape[1:]) for image in images)
        if self.size > smallest:
            raise ValueError(
                f"a crop is at most {smallest} pixels wide, half of the smallest photograph, got {self.size}"
            )
        generator = torch.Generator().manual_seed(seed)
        return torch.stack([self._crop(images[i % len(images)], generator) for i in range(self.crops)])

    def _crop(self, image: Tensor, generator: torch.Generator) -> Tensor:
        top, left = (int(torch.randint(length - self.size + 1, (), generator=generator)) for length in image.shape[1:])
        return image[:, top : top + self.size, left : left + self.size]


def bundled_folder() -> Path:
    """Where scikit-image keeps the images that come with it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("these images are those of scikit-image: pip install 'phis-lab[ood]'")
    return Path(spec.origin).parent / "data"
