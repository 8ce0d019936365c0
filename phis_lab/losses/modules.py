"""The losses as modules: the spatial features by the chosen loss, the summary by cosine."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Literal

from torch import Tensor, nn

from phis_lab.features import Features, Kind
from phis_lab.losses.functional import cosine, dampened_mse, hybrid, mse, paired, smooth_l1, unic
from phis_lab.shapes import Float


class Loss(nn.Module, ABC):
    """One row of losses for each kind of feature that the teacher has.

    A subclass says how spatial features are compared. Summaries are compared by cosine and never normalised
    (PHI-S, section 2), unless a subclass overrides `summary` too.
    """

    wants_summary: ClassVar[Literal["of none", "of some", "of every"]] = "of none"
    """Of which teachers it needs a summary."""

    def check(self, summary_dims: Mapping[str, int | None]) -> None:
        """Raise ValueError where teachers lack a summary that the loss wants.

        Args:
            summary_dims: width of each teacher's summary by name; None where there is none.
        """
        without = [name for name, dim in summary_dims.items() if dim is None]
        enough = {"of none": True, "of some": len(without) < len(summary_dims), "of every": not without}
        if not enough[self.wants_summary]:
            raise ValueError(
                f"{type(self).__name__} wants a summary {self.wants_summary} teacher, and there is none of "
                f"{', '.join(without)}; choose another loss or other teachers"
            )

    @abstractmethod
    def spatial(
        self, pred: Float[Tensor, "batch h w channels"], target: Float[Tensor, "batch h w channels"]
    ) -> Float[Tensor, " batch"]:
        """Compares spatial features."""

    def summary(self, pred: Float[Tensor, "batch dim"], target: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Compares summaries."""
        return cosine(pred, target)

    def forward(self, prediction: Features, target: Features) -> dict[str, Float[Tensor, " batch"]]:
        """Returns the rows "spatial" and "summary"; a kind that the teacher lacks has no row.

        Raises:
            ValueError: a kind of feature that the teacher has is not predicted, it has neither, or shapes differ.
        """
        pairs = paired(prediction, target)
        comparisons: dict[Kind, Callable[[Tensor, Tensor], Tensor]] = {"spatial": self.spatial, "summary": self.summary}
        return {kind: compare(*pairs[kind]) for kind, compare in comparisons.items() if kind in pairs}


class MSE(Loss):
    """Mean squared error (PHI-S, eq. 1): the loss of every normaliser and, on raw features, a baseline."""

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `functional.mse`."""
        return mse(pred, target)


class Cosine(Loss):
    """Cosine distance (PHI-S, eq. 2): it leaves the length of tokens free, so the teacher MSE stays large."""

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `functional.cosine`."""
        return cosine(pred, target)


class SmoothL1(Loss):
    """Smooth L1: errors above `beta` pull with constant force.

    Args:
        beta: error at which the loss turns from squared to linear, in units of the target.
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = _positive(beta)

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `functional.smooth_l1`."""
        return smooth_l1(pred, target, self.beta)


class DampenedMSE(Loss):
    """Squared error whose growth is damped above 1, for targets of unit variance with outliers."""

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `functional.dampened_mse`."""
        return dampened_mse(pred, target)


class HybridMSE(Loss):
    """Cosine with a little MSE (PHI-S, eq. 4).

    Args:
        cosine_weight: share of the cosine distance; the MSE has the rest.
    """

    def __init__(self, cosine_weight: float = 0.9) -> None:
        super().__init__()
        self.cosine_weight = _share(cosine_weight)

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `functional.hybrid`."""
        return hybrid(pred, target, mse, self.cosine_weight)


class HybridSmoothL1(Loss):
    """Cosine with a little smooth L1 (PHI-S, eq. 3), the spatial loss of AM-RADIO.

    Args:
        cosine_weight: share of the cosine distance; the smooth L1 has the rest.
        beta: error at which the smooth L1 turns from squared to linear, in units of the target.
    """

    def __init__(self, cosine_weight: float = 0.9, beta: float = 1.0) -> None:
        super().__init__()
        self.cosine_weight = _share(cosine_weight)
        self.beta = _positive(beta)

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `functional.hybrid`."""
        return hybrid(pred, target, partial(smooth_l1, beta=self.beta), self.cosine_weight)


def _share(cosine_weight: float) -> float:
    if not 0 <= cosine_weight <= 1:
        raise ValueError(f"cosine_weight must lie in [0, 1], got {cosine_weight}")
    return cosine_weight


def _positive(beta: float) -> float:
    if not (beta > 0 and math.isfinite(beta)):
        raise ValueError(f"beta must be positive and finite, got {beta}; for plain L1 take a small one")
    return beta


class Proteus(Loss):
    """Mean squared error on the summary and on the patches; the other losses compare summaries by cosine.

    Run it with `head=linear normalizer=identity`. Of the paper's three terms, each of weight 1, the first is the row
    "summary" and the second the row "spatial", where the paper counts the summary once more, as one of 1 + patches
    tokens. The third, on patches that are hidden from the student, is left out, as in TinTeM's comparison.

    Source:
        "Accessing Vision Foundation Models via ImageNet-1K" (Proteus, ICLR 2025).
    """

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `functional.mse`."""
        return mse(pred, target)

    def summary(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `functional.mse`."""
        return mse(pred, target)


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
