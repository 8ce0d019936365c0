"""TinTeM's student loss: cosine of an image's tokens taken as one vector, and cosine of its summary."""

import torch
from torch import Tensor

from phis_lab.features import Features
from phis_lab.losses.functional import aligned, cosine, paired
from phis_lab.losses.modules import Loss
from phis_lab.shapes import Float


def flattened_cosine(prediction: Features, target: Features) -> Float[Tensor, " batch"]:
    """Cosine distance between all tokens of an image as one vector: long tokens count more than short ones.

    1 - sum_n x_n.y_n / (|x| |y|) with |x|^2 = sum_n |x_n|^2, where n runs over the summary and all patches. `cosine`
    has an angle for every token and weighs them alike. A kind that the teacher lacks leaves the other alone.

    Args:
        prediction: of the student.
        target: of the teacher, in as many channels.

    Raises:
        ValueError: shapes differ, a prediction that the teacher calls for is missing, or it has neither kind.

    Example:
        >>> features = Features(torch.ones(1, 2), torch.ones(1, 1, 1, 2))
        >>> flattened_cosine(features.map(lambda part: 3 * part), features).abs().round(decimals=6).tolist()
        [0.0]
    """
    pairs = [aligned(*pair) for pair in paired(prediction, target).values()]
    return cosine(*(torch.cat([tokens.flatten(1) for tokens in side], dim=1) for side in zip(*pairs, strict=True)))


class TinTeM(Loss):
    """What a student without a head pays for its own tokens against a teacher that was compressed to its width.

    The row "tokens" is the flattened cosine of summary and patches together, the row "summary" the cosine of the
    summary. Run it with `normalizer=teacher_in_the_middle head=identity`, or with a fixed compression in its place.
    `balancer=uniform` adds both rows, as the paper does for its one teacher. Several teachers are our extension: with
    weights of one over their number, the student follows the mean of their pulls.

    Source:
        Mannix, Hodgkinson and Bondell, TinTeM / CosPress (arXiv 2411.15239), the two terms of the student.
    """

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `flattened_cosine`, of patches alone."""
        return flattened_cosine(Features(None, pred), Features(None, target))

    def forward(self, prediction: Features, target: Features) -> dict[str, Float[Tensor, " batch"]]:
        """Returns the rows "tokens" and "summary"; a teacher without a summary has the first alone.

        Raises:
            ValueError: a kind of feature that the teacher has is not predicted, it has neither, or shapes differ.
        """
        rows = {"tokens": flattened_cosine(prediction, target)}
        if "summary" in (pairs := paired(prediction, target)):
            rows["summary"] = self.summary(*pairs["summary"])
        return rows
