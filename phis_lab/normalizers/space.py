"""How one teacher is matched by one arm: its features become targets, and predictions its features again."""

from typing import cast

from torch import Tensor, nn

from phis_lab.features import Features, Kind
from phis_lab.guards import check_tensor, working
from phis_lab.linalg import Moments
from phis_lab.normalizers.feature_map import FeatureMap
from phis_lab.normalizers.normalizer import Normalizer
from phis_lab.precision import Products
from phis_lab.shapes import Float


class NotInvertibleError(ValueError):
    """Predictions of a compressed teacher cannot be mapped back to its own features."""


class TeacherSpace(nn.Module):
    """The maps of one teacher's patches and summary, and what follows from their kinds.

    What is invertible, and which map serves which kind of features, is asked here.

    Args:
        teacher: its name, for messages.
        spatial: maps its patches; None where it has none.
        summary: maps its summary, of a method that has an instance of its own for it.
        products: how targets are multiplied, where maps are matrices; None leaves it to the maps.

    Attributes:
        is_invertible: whether predictions can be mapped back to the teacher's own features.
    """

    def __init__(
        self,
        teacher: str,
        spatial: FeatureMap | None,
        summary: FeatureMap | None = None,
        products: Products | None = None,
    ) -> None:
        super().__init__()
        self.teacher, self.spatial, self.summary = teacher, spatial, summary
        maps = [of_kind for of_kind in (spatial, summary) if of_kind is not None]
        if products is not None:
            for of_kind in maps:
                of_kind.products = products
        self.is_invertible = all(isinstance(of_kind, Normalizer) for of_kind in maps)

    def map_of(self, kind: Kind) -> FeatureMap | None:
        """What maps features of a kind; None where they stay as they are."""
        if kind == "spatial":
            return self.spatial
        if self.summary is None and self.spatial is not None and self.spatial.summary_map == "same":
            return self.spatial
        return self.summary

    def target_dims(self, summary: int | None, spatial: int | None) -> tuple[int | None, int | None]:
        """Channels (summary, spatial) of what the student is asked to match.

        Args:
            summary: channels of the teacher's summary; None where it has none.
            spatial: likewise of its patches.

        Raises:
            ValueError: one map is for both kinds of features, and they differ in width.
        """
        of_summary = self.map_of("summary")
        if summary is not None and of_summary is not None and summary != of_summary.dim:
            raise ValueError(
                f"{type(of_summary).__name__} maps summary and patches alike, and those of teacher '{self.teacher}' "
                f"have {summary} and {spatial} channels; leave the teacher out, or its summary where it has that "
                f"option (teachers.{self.teacher}.summary=null)"
            )
        return (
            summary if summary is None or of_summary is None else of_summary.out_dim,
            spatial if spatial is None or self.spatial is None else self.spatial.out_dim,
        )

    def targets(self, features: Features) -> Features:
        """The teacher's features as the student is asked to match them.

        Raises:
            PartError: a map raised an error, or gave something of another kind or shape.
        """
        return features._replace(**{kind: self._mapped(kind, x) for kind, x in features.kinds().items()})

    def _mapped(self, kind: Kind, features: Tensor) -> Tensor:
        of_kind = self.map_of(kind)
        if of_kind is None:
            return features
        what = f"the normaliser of teacher '{self.teacher}'"
        with working(what, of_kind):
            mapped: Tensor = of_kind(features)
        check_tensor(what, of_kind, mapped, (*features.shape[:-1], of_kind.out_dim))
        return mapped

    def content(self) -> str | None:
        """Equal for spaces that give the same targets, to the last bit, for the same features; None if not known."""
        maps = [of_kind for of_kind in (self.spatial, self.summary) if of_kind is not None]
        contents = [of_kind.content() for of_kind in maps]
        known = [content for content in contents if content is not None]
        return "/".join(known) if maps and len(known) == len(maps) else None

    def restored(self, prediction: Features) -> Features:
        """A prediction as features in the teacher's own space.

        Raises:
            NotInvertibleError: the method compresses.
        """
        if not self.is_invertible:
            raise NotInvertibleError(
                f"{type(self.spatial).__name__} has no inverse: the student is matched in its own space, in fewer "
                f"channels than teacher '{self.teacher}' has; compare its tokens with the map of the teacher's features"
            )
        return prediction._replace(**{kind: self._restored(kind, x) for kind, x in prediction.kinds().items()})

    def _restored(self, kind: Kind, prediction: Tensor) -> Tensor:
        of_kind = self.map_of(kind)
        return prediction if of_kind is None else cast(Normalizer, of_kind).inverse(prediction)

    def comparable(self, prediction: Features, target: Features) -> tuple[Features, Features]:
        """A prediction and the teacher's features where methods can be compared: in the teacher's own space.

        A compression has no way back; then both are in the student's space.
        """
        return (self.restored(prediction), target) if self.is_invertible else (prediction, self.targets(target))

    def fit(self, moments: Moments) -> None:
        """Fit the map of the patches.

        Raises:
            PartError: with the reason as its cause.
        """
        assert self.spatial is not None
        with working("the normaliser", self.spatial):
            self.spatial.fit(moments)

    def schedule(self, progress: float) -> None:
        """Tell maps that run how much of a stage is done, from 0 to 1."""
        for of_kind in (self.spatial, self.summary):
            if of_kind is not None:
                of_kind.schedule(progress)

    def training_loss(self, features: Features) -> dict[str, Float[Tensor, ""]]:
        """Rows of the loss by which a learned map trains itself."""
        return {} if self.spatial is None or features.spatial is None else self.spatial.training_loss(features)

    @property
    def needs_covariance(self) -> bool:
        """Whether the map is fitted to full moments; variances alone do otherwise."""
        return self.spatial is not None and self.spatial.needs_covariance
