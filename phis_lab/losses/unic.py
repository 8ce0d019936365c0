"""UNIC's loss as a module: one row per teacher, because teacher dropping compares teachers."""

from torch import Tensor

from phis_lab.features import Features
from phis_lab.losses.functional import unic
from phis_lab.losses.modules import Loss
from phis_lab.shapes import Float

__all__ = ["UNIC", "unic"]


class UNIC(Loss):
    """Half cosine and half smooth L1 for each token, summary and patches alike, in one row per teacher.

    The other losses give a row per kind of feature. With one per teacher, `Uniform(weights=...)` takes one weight
    per teacher, `AdaLoss` evens out teachers and not kinds, and `TeacherDropping` drops whole teachers.

    Source:
        UNIC (arXiv 2408.05088), eq. 1 and 2.
    """

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `functional.unic`, of patches alone."""
        return unic(None, pred, None, target)

    def summary(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `functional.unic`, of the summary alone."""
        return unic(pred, None, target, None)

    def forward(self, prediction: Features, target: Features) -> dict[str, Float[Tensor, " batch"]]:
        """Returns the row "unic".

        Raises:
            ValueError: a kind of feature that the teacher has is not predicted, it has neither, or shapes differ.
        """
        return {"unic": unic(*prediction, *target)}
