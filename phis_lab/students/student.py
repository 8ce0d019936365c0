"""The student: one backbone and, per teacher, a head for each kind of feature that the teacher has."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from phis_lab.shapes import Float
from phis_lab.students.backbone import Backbone
from phis_lab.teachers import Features


@runtime_checkable
class HeadFactory(Protocol):
    """Makes a head; an option file with `_partial_: true` is one."""

    def __call__(self, in_dim: int, out_dim: int, *, widest: int) -> nn.Module:
        """Returns a head from `in_dim` to `out_dim` channels; `widest` is the widest of all teachers."""


class Student(nn.Module):
    """Predicts the features of every teacher from one backbone's tokens.

    Summaries are predicted from the class token, spatial features from the patch tokens, on their grid.

    Args:
        backbone: makes the tokens.
        head: makes each head.
        teachers: per teacher its channels (summary, spatial); None for a kind that it lacks.

    Raises:
        ValueError: there is no teacher, or a name cannot be that of a submodule.
    """

    def __init__(
        self, backbone: Backbone, head: HeadFactory, teachers: Mapping[str, tuple[int | None, int | None]]
    ) -> None:
        super().__init__()
        _check_names(teachers)
        widest = max(dim or 0 for dims in teachers.values() for dim in dims)
        self.teachers = tuple(teachers)
        self.backbone = backbone
        self.summary_heads = nn.ModuleDict()
        self.spatial_heads = nn.ModuleDict()
        for name, (summary_dim, spatial_dim) in teachers.items():
            if summary_dim is not None:
                self.summary_heads[name] = head(backbone.width, summary_dim, widest=widest)
            if spatial_dim is not None:
                self.spatial_heads[name] = head(backbone.width, spatial_dim, widest=widest)

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> tuple[Features, dict[str, Features]]:
        """Returns the backbone's tokens and, per teacher, the prediction of its features."""
        tokens = self.backbone(images)
        predictions = {
            name: Features(
                _apply(self.summary_heads, name, tokens.summary),
                _apply(self.spatial_heads, name, tokens.spatial),
            )
            for name in self.teachers
        }
        return tokens, predictions


def _apply(heads: nn.ModuleDict, name: str, tokens: Tensor) -> Tensor | None:
    return heads[name](tokens) if name in heads else None


def _check_names(teachers: Mapping[str, object]) -> None:
    if not teachers:
        raise ValueError("a student needs one teacher or more, got none")
    for name in teachers:
        if not name or "." in name or hasattr(nn.ModuleDict, name):
            raise ValueError(
                f"teacher name {name!r} cannot name a submodule; use letters, digits and underscores, "
                "and no name of a method of ModuleDict"
            )
