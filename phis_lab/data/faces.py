"""The 200 small grey patches that scikit-image bundles: 100 faces, 100 patches that are none."""

from dataclasses import dataclass

import numpy as np
import torch

from phis_lab.data.datasource import DataSource
from phis_lab.data.photographs import bundled_folder
from phis_lab.data.source import TensorImages

_CLASSES = ("face", "other")


@dataclass(frozen=True, kw_only=True)
class Faces(DataSource):
    """Patches of 25 x 25 pixels from Labeled Faces in the Wild; every other one is for tests."""

    def read(self) -> tuple[TensorImages, TensorImages]:
        """Returns 100 train and 100 test images, half of each kind.

        Raises:
            ModuleNotFoundError: scikit-image is not installed.
        """
        patches = np.load(bundled_folder() / "lfw_subset.npy", allow_pickle=False)
        images = torch.from_numpy((patches * 255).round().astype(np.uint8))
        labels = torch.arange(len(images)) // (len(images) // 2)
        return (
            TensorImages("faces/train", images[::2].contiguous(), labels[::2], _CLASSES),
            TensorImages("faces/test", images[1::2].contiguous(), labels[1::2], _CLASSES),
        )
