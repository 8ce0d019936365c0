"""The student: one backbone and, per teacher, a head for each kind of feature that the teacher has."""

from collections.abc import Collection, Mapping
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

    Summaries are predicted from the class token, or from each teacher's own one, spatial features from the patch
    tokens, on their grid.

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
        own = backbone.class_tokens == "per_teacher"
        self._class_token = {name: place if own else 0 for place, name in enumerate(self.summary_heads)}
        if own:
            backbone.grow_class_tokens(len(self.summary_heads))

    def forward(
        self,
        images: Float[Tensor, "batch 3 h w"],
        image_size: int | None = None,
        teachers: Collection[str] | None = None,
    ) -> tuple[Features, dict[str, Features]]:
        """Returns the backbone's tokens and, per teacher, the prediction of its features.

        Args:
            images: in [0, 1].
            image_size: at which the backbone sees them; None for its own.
            teachers: of whom predictions are wanted; None for all.
        """
        tokens = self.backbone(images, image_size)
        wanted = self.teachers if teachers is None else [name for name in self.teachers if name in teachers]
        classes = tokens.summary.unflatten(1, (-1, self.backbone.width))
        predictions = {
            name: Features(
                _apply(self.summary_heads, name, classes[:, self._class_token.get(name, 0)]),
                _apply(self.spatial_heads, name, tokens.spatial),
            )
            for name in wanted
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
