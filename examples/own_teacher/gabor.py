"""A teacher of your own: a frozen network behind one protocol, here a fixed bank of oriented filters."""

import math

import torch
from torch import Tensor, nn

from phis_lab.features import Features
from phis_lab.teachers import Pixels, Teacher, Weights


class Gabor(Teacher):
    """Energies of Gabor filters at stride 8, and their mean over the image as the summary.

    Args:
        name: key of the teacher in its set.
        image_size: side in pixels, a multiple of 8.
        orientations: of the filters; there are so many channels.
    """

    def __init__(self, name: str, image_size: int = 64, orientations: int = 8) -> None:
        network = nn.Conv2d(1, orientations, 8, stride=8, bias=False)
        network.weight.data = _filters(orientations)
        super().__init__(
            name=name,
            network=network,
            pixels=Pixels(image_size, mean=(0.5,) * 3, std=(0.5,) * 3),
            weights=Weights.of_parameters(network.state_dict()),
            layer="energy",
            spatial_dim=orientations,
            summary_dim=orientations,
        )

    def features(self, x: Tensor) -> Features:
        """The features of resized and normalised images [b, 3, size, size]; spatial ones come channels last."""
        energy = self.network(x.mean(dim=1, keepdim=True)).square().permute(0, 2, 3, 1)
        return Features(energy.mean(dim=(1, 2)), energy)


def _filters(orientations: int) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8), indexing="ij")
    angles = torch.arange(orientations).view(-1, 1, 1) * math.pi / orientations
    waves = torch.cos(2 * math.pi * (x * angles.cos() + y * angles.sin()))
    return (waves * torch.exp(-2 * (x**2 + y**2))).unsqueeze(1)
