"""Scores that say how much an image is like those of the known classes."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from phis_lab.bounds import Above, Positive
from phis_lab.evals.answers import fit_linear_classifier
from phis_lab.evals.neighbours.nearest import nearest_neighbours
from phis_lab.evals.score import Embeddings
from phis_lab.guards import require
from phis_lab.linalg import Moments

Scorer = Callable[[Tensor], Tensor]
"""Features [n, d] -> scores [n], higher for images that look known."""


_CONSTANT = 1e-6


_SMALLEST_VARIANCE = 1e-10


class Detector(ABC):
    """A way to score features; it learns from labelled images of the known classes.

    Attributes:
        minimum_images: labelled training images that it needs.
    """

    minimum_images: int = 1

    @abstractmethod
    def fit(self, known: Embeddings) -> Scorer:
        """Learns what the known classes look like."""


class NearestNeighbour(Detector):
    """Cosine to the k-th nearest image of the known classes; no labels are used.

    k = 1 is TinTeM's evaluation (arXiv 2411.15239); larger k is deep nearest neighbours (Sun et al., 2022).

    Args:
        k: which neighbour counts.
    """

    def __init__(self, k: Positive = 1) -> None:
        self.k = self.minimum_images = k

    def fit(self, known: Embeddings) -> Scorer:
        """Raises ValueError when the scorer is called if there are fewer than k images, or NaN in them."""
        return lambda x: nearest_neighbours(known.features, x, self.k)[0][:, -1]


class Mahalanobis(Detector):
    """Minus half the squared distance to the nearest class mean, under the classes' common covariance.

    Lee et al. (2018), by pytorch-ood. The score does not change under invertible maps, so the features are whitened
    first: pytorch-ood computes in float32, where a covariance with small and large variances has no useful inverse.
    Directions in which the known images do not vary at all are left out; a collapsed student has no other, and all
    images score 0.
    """

    def __init__(self) -> None:
        require("pytorch_ood", "ood", "the Mahalanobis detector")

    def fit(self, known: Embeddings) -> Scorer:
        """Estimates the means and the covariance.

        Raises:
            ValueError: too few images to estimate a covariance.
        """
        from pytorch_ood.detector import Mahalanobis as Fitted  # noqa: PLC0415  an extra

        classes, position = known.labels.unique(return_inverse=True)
        mean, whiten = _whitening(known.features)
        if whiten.shape[1] == 0:
            return lambda x: x.new_zeros(len(x))
        if len(position) - len(classes) < whiten.shape[1]:
            raise ValueError(
                f"a covariance of {whiten.shape[1]} directions within {len(classes)} classes needs more than "
                f"{len(position)} images; raise train_images or leave the Mahalanobis detector out"
            )

        def white(x: Tensor) -> Tensor:
            return ((x.double() - mean) @ whiten).float()

        fitted = Fitted(None).fit_features(white(known.features), position)
        return lambda x: -fitted.predict_features(white(x))


def _whitening(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, and a map to uncorrelated channels of variance 1 out of all directions that vary, whatever their scale."""
    std, mean = torch.std_mean(x.double(), dim=0, correction=0)
    scale = torch.where(std > _CONSTANT * mean.abs(), 1 / std, 0.0)
    moments = Moments(x.shape[1]).update((x.double() - mean) * scale)
    variances, axes = moments.eigh()
    varies = variances > _SMALLEST_VARIANCE * variances[0]
    return mean, scale[:, None] * axes[:, varies] * variances[varies].rsqrt()


class Energy(Detector):
    """Log-sum-exp of a linear probe's logits, by pytorch-ood (Liu et al., 2020).

    Args:
        c: inverse strength of the probe's penalty, as scikit-learn's C.
        temperature: T of T log sum exp(logit / T).
    """

    def __init__(self, c: Above = 1.0, temperature: Above = 1.0) -> None:
        require("pytorch_ood", "ood", "the energy detector")
        self.c, self.temperature = c, temperature

    def fit(self, known: Embeddings) -> Scorer:
        """Fits the probe; raises ValueError for one class only, or NaN in the features."""
        from pytorch_ood.detector import EnergyBased  # noqa: PLC0415  an extra

        probe = fit_linear_classifier(known.features, known.labels, self.c)
        return lambda x: -EnergyBased.score(probe.logits(x), self.temperature)
