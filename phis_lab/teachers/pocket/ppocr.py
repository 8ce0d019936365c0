"""PP-OCRv4's text detector: a dense teacher with large, signed features."""

import onnx
from torch import Tensor

from phis_lab.bounds import Side
from phis_lab.features import Features
from phis_lab.shapes import Float
from phis_lab.teachers.onnx_to_torch import to_torch
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.pocket.package_files import PackageFile, PocketTeacher, check_stride


class PPOcr(PocketTeacher):
    """The neck of a DBNet detector: 96 signed channels at stride 4, global std about 95; no summary.

    The pixels are blue first with ImageNet's mean and std in the order of the file, as the detector was
    trained.

    Args:
        name: key of the teacher in its set.
        image_size: side in pixels, a multiple of 32.
    """

    cell = 4
    layer_name = "p2o.Concat.1"
    file = PackageFile(
        requirement="rapidocr-onnxruntime",
        package="rapidocr_onnxruntime",
        path="models/ch_PP-OCRv4_det_infer.onnx",
        sha256="d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    )

    def __init__(self, name: str, image_size: Side) -> None:
        weights = self.file.weights()
        super().__init__(
            name=name,
            network=to_torch(onnx.load(str(self.file.locate())), self.layer_name),
            pixels=Pixels(check_stride(image_size), bgr=True),
            weights=weights,
            layer=self.layer_name,
            spatial_dim=96,
        )

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the detector up to its neck."""
        return Features(None, self.network(x).permute(0, 2, 3, 1))
