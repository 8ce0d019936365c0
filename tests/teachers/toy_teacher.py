"""The smallest teacher."""

import torch
from torch import Tensor, nn

from phis_lab.features import Features
from phis_lab.teachers import Teacher, Weights
from phis_lab.teachers.pixels import Pixels


class Toy(Teacher):
    """One convolution and a batch normalisation at 8 px; the mean over the map is the summary."""

    def __init__(self, name: str = "toy", with_summary: bool = True) -> None:
        network = nn.Sequential(nn.Conv2d(3, 5, 2, stride=2), nn.BatchNorm2d(5), nn.Dropout(0.5))
        self.with_summary = with_summary
        super().__init__(
            name=name,
            network=network,
            pixels=Pixels(8),
            weights=Weights.of_parameters(network.state_dict()),
            layer="map",
            spatial_dim=5,
            summary_dim=5 if with_summary else None,
        )

    def features(self, x: Tensor) -> Features:
        maps = self.network(x)
        return Features(maps.mean(dim=(2, 3)) if self.with_summary else None, maps.permute(0, 2, 3, 1))


def images(count: int = 3, size: int = 8) -> Tensor:
    """Random images in [0, 1]."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))
