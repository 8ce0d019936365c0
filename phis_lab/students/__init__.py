"""Students: vision transformers and the heads that predict each teacher from their tokens."""

import phis_lab._torchvision  # noqa: F401
from phis_lab.students.backbone import Backbone, ViT
from phis_lab.students.fold import fold
from phis_lab.students.heads import IdentityHead, LinearHead, MLPHead
from phis_lab.students.image_encoder import ImageEncoder
from phis_lab.students.ladder import LadderHead
from phis_lab.students.pretrained import TimmViT
from phis_lab.students.student import HeadFactory, Student

__all__ = [
    "Backbone",
    "HeadFactory",
    "IdentityHead",
    "ImageEncoder",
    "LadderHead",
    "LinearHead",
    "MLPHead",
    "Student",
    "TimmViT",
    "ViT",
    "fold",
]
