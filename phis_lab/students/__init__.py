"""Students: vision transformers and the heads that predict each teacher from their tokens."""

import phis_lab._torchvision  # noqa: F401
from phis_lab.students.backbone import Backbone, ViT
from phis_lab.students.heads import MLPHead
from phis_lab.students.pretrained import TimmViT
from phis_lab.students.student import HeadFactory, Student

__all__ = ["Backbone", "HeadFactory", "MLPHead", "Student", "TimmViT", "ViT"]
