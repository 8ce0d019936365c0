"""The student: one backbone and, per teacher, a head for each kind of feature that the teacher has."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from phis_lab.features import Features
from phis_lab.shapes import Float
from phis_lab.students.backbone import Backbone


@runtime_checkable
class HeadFactory(Protocol):
    """Makes a head; an option file with `_partial_: true` is one."""

    def __call__(self, in_dim: int, out_dim: int, **facts: int) -> nn.Module:
        """Returns a head from `in_dim` to `out_dim` channels.

        `widest` is the widest of all teachers; a class with `needs_blocks` gets the student's `depth` in its place.
        """


class Student(nn.Module):
    """Predicts the features of every teacher from one backbone's tokens.

    Summaries are predicted from the class token, or from each teacher's own one, spatial features from the patch
    tokens, on their grid.

    Args:
        backbone: makes the tokens.
        head: makes each head.
        teachers: per teacher its channels (summary, spatial); None for a kind that it lacks.

    Attributes:
        standardizer: a last map of the tokens that are returned, which no head sees; only an export can have one.

    Raises:
        ValueError: there is no teacher, a name cannot be that of a submodule, or heads cannot be shared.
    """

    standardizer: nn.Module | None

    def __init__(
        self, backbone: Backbone, head: HeadFactory, teachers: Mapping[str, tuple[int | None, int | None]]
    ) -> None:
        super().__init__()
        _check_names(teachers)
        self.teachers, self.dims = tuple(teachers), dict(teachers)
        self.backbone = backbone
        self.standardizer = None
        self.needs_blocks: bool = getattr(getattr(head, "func", head), "needs_blocks", False)
        self.summary_heads = nn.ModuleDict()
        self.spatial_heads = nn.ModuleDict()
        make = self._maker(head, max(dim or 0 for dims in teachers.values() for dim in dims))
        for name, (summary_dim, spatial_dim) in teachers.items():
            if summary_dim is not None:
                self.summary_heads[name] = make(summary_dim)
            if spatial_dim is not None:
                shares = backbone.shared_heads and summary_dim is not None
                self.spatial_heads[name] = self._shared(name, summary_dim, spatial_dim) if shares else make(spatial_dim)
        own = backbone.class_tokens == "per_teacher"
        self._class_token = {name: place if own else 0 for place, name in enumerate(self.summary_heads)}
        if own:
            backbone.grow_class_tokens(len(self.summary_heads))

    @property
    def has_heads(self) -> bool:
        """Whether anything but the backbone can learn."""
        return any(True for heads in (self.summary_heads, self.spatial_heads) for _ in heads.parameters())

    def _maker(self, head: HeadFactory, widest: int) -> Callable[[int], nn.Module]:
        """Makes a head of so many channels; one that reads every block is told their number."""
        facts = {"depth": len(self.backbone.vit.blocks)} if self.needs_blocks else {"widest": widest}
        return lambda dim: head(self.backbone.width, dim, **facts)

    def _shared(self, name: str, summary_dim: int | None, spatial_dim: int) -> nn.Module:
        if summary_dim != spatial_dim:
            raise ValueError(
                f"student.shared_heads wants summaries as wide as spatial features; teacher '{name}' has {summary_dim} "
                f"and {spatial_dim} channels"
            )
        return self.summary_heads[name]

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
        wanted = self.teachers if teachers is None else [name for name in self.teachers if name in teachers]
        if self.needs_blocks:
            tokens, blocks = self.backbone.forward_blocks(images, image_size)
        else:
            tokens = self.backbone(images, image_size)
            blocks = [tokens]
        predictions = {name: self._predict(name, blocks) for name in wanted}
        return tokens if self.standardizer is None else self.standardizer(tokens), predictions

    def _predict(self, name: str, blocks: Sequence[Features]) -> Features:
        place = self._class_token.get(name, 0)
        classes = [block.summary.unflatten(1, (-1, self.backbone.width))[:, place] for block in blocks]  # type: ignore[union-attr]
        return Features(
            self._apply_head(self.summary_heads, name, classes),
            self._apply_head(self.spatial_heads, name, [block.spatial for block in blocks]),
        )

    def _apply_head(self, heads: nn.ModuleDict, name: str, blocks: Sequence[Tensor | None]) -> Tensor | None:
        if name not in heads:
            return None
        prediction: Tensor = heads[name](blocks if self.needs_blocks else blocks[-1])
        return prediction


def _check_names(teachers: Mapping[str, object]) -> None:
    if not teachers:
        raise ValueError("a student needs one teacher or more, got none")
    for name in teachers:
        if not name or "." in name or hasattr(nn.ModuleDict, name):
            raise ValueError(
                f"teacher name {name!r} cannot name a submodule; use letters, digits and underscores, "
                "and no name of a method of ModuleDict"
            )
