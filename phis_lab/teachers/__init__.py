"""Frozen teachers: images in [0, 1] go in, summary and spatial features come out.

The loaders live in modules of their own (`timm`, `open_clip`, `onnx`, `pocket`), so that importing this
package is cheap.
"""

import phis_lab._torchvision  # noqa: F401
from phis_lab.teachers.base import Features, Teacher
from phis_lab.teachers.grid import Grid, Resize, match_grid
from phis_lab.teachers.image_sizes import at_image_size, at_smallest_sizes, share_parameters
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.pool import TeacherPool
from phis_lab.teachers.weights import MissingWeightsError, Weights, check_available

__all__ = [
    "Features",
    "Grid",
    "MissingWeightsError",
    "Pixels",
    "Resize",
    "Teacher",
    "TeacherPool",
    "Weights",
    "at_image_size",
    "at_smallest_sizes",
    "check_available",
    "match_grid",
    "share_parameters",
]
