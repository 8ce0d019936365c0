"""Frozen teachers: images in [0, 1] go in, summary and spatial features come out.

The loaders live in modules of their own (`timm`, `open_clip`, `onnx`, `pocket`), so that importing this
package is cheap.
"""

import phis_lab._torchvision  # noqa: F401
from phis_lab.teachers.base import Teacher
from phis_lab.teachers.image_sizes import at_image_size, at_smallest_sizes, share_parameters
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.pool import TeacherPool
from phis_lab.teachers.weights import MissingWeightsError, Weights, check_available

__all__ = [
    "MissingWeightsError",
    "Pixels",
    "Teacher",
    "TeacherPool",
    "Weights",
    "at_image_size",
    "at_smallest_sizes",
    "check_available",
    "share_parameters",
]
