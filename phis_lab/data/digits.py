"""The 1,797 handwritten digits of 8 x 8 that scikit-learn bundles: for tests and first steps."""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits

from phis_lab.data.datasource import DataSource
from phis_lab.data.source import TensorImages

_TRAIN = 1500


@dataclass(frozen=True, kw_only=True)
class Digits(DataSource):
    """scikit-learn's digits: 1,500 to train on, the last 297 to test on; grey levels 0-16 become 0-255."""

    def read(self) -> tuple[TensorImages, TensorImages]:
        """Returns the train and the test images."""
        bunch = load_digits()
        images = (torch.from_numpy(bunch.images) * (255 / 16)).round().to(torch.uint8)
        labels = torch.from_numpy(bunch.target).long()
        classes = [str(name) for name in bunch.target_names]
        return (
            TensorImages("digits/train", images[:_TRAIN], labels[:_TRAIN], classes),
            TensorImages("digits/test", images[_TRAIN:], labels[_TRAIN:], classes),
        )
