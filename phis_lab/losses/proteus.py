"""Proteus' loss as a module: squared error on summaries too."""

from torch import Tensor

from phis_lab.losses.functional import mse
from phis_lab.losses.modules import Loss


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
