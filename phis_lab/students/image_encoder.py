"""A student in the place of a CLIP model's image tower."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import normalize as to_unit_length

from phis_lab.shapes import Float
from phis_lab.students.student import Student


class ImageEncoder(nn.Module):
    """Answers images as a teacher of the CLIP family would: with its summary, in the space that its texts lie in.

    It has what open_clip asks of an image tower, so that `clip.visual = ImageEncoder(student, "dfn_clip")` gives a
    model whose texts are the teacher's and whose images are the student's.

    Args:
        student: as `load_student` gives it.
        teacher: whose head answers; its summary should be the projected one, as that of open_clip's towers is.

    Attributes:
        image_size: side of the images that the student is made for.
        preprocess_cfg: for `open_clip.image_transform_v2`: pixels stay in [0, 1].

    Raises:
        ValueError: the student has no such teacher, or predicts no summary of it.
    """

    def __init__(self, student: Student, teacher: str) -> None:
        super().__init__()
        if teacher not in student.summary_heads:
            known = ", ".join(student.summary_heads) or "of none"
            raise ValueError(f"this student predicts no summary of teacher {teacher!r}; it does of: {known}")
        self.student, self.teacher = student, teacher
        self.image_size: int = student.backbone.image_size
        self.preprocess_cfg: dict[str, Any] = {
            "size": self.image_size,
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
            "interpolation": "bilinear",
            "resize_mode": "squash",
        }

    def forward(self, images: Float[Tensor, "batch 3 _ _"]) -> Float[Tensor, "batch dim"]:
        """The embeddings of images in [0, 1]."""
        _, predictions = self.student(images, None, [self.teacher])
        embedding: Tensor = predictions[self.teacher].summary
        return embedding

    def encode_image(self, images: Float[Tensor, "batch 3 _ _"], normalize: bool = False) -> Float[Tensor, "batch dim"]:
        """The same, and with `normalize` of length 1, as open_clip's models give them."""
        embedding: Tensor = self(images)
        return to_unit_length(embedding, dim=-1) if normalize else embedding
