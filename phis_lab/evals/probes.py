"""Evaluations of frozen student features as options: a named protocol around one pure function each."""

import logging
from abc import ABC, abstractmethod
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from torch import Tensor

from phis_lab.evals.knn import knn_predict
from phis_lab.evals.linear_probe import linear_probe
from phis_lab.shapes import Float, Int64

_log = logging.getLogger(__name__)

When = Literal["always", "end"]


class Embeddings(NamedTuple):
    """Frozen features of labelled images."""

    features: Float[Tensor, "n d"]
    labels: Int64[Tensor, "n"]


class Probe(ABC):
    """Measures frozen features.

    Attributes:
        when: during training too, or only at the end.
        minimum_images: labelled training images that it needs.
    """

    when: When
    minimum_images: int = 1

    @abstractmethod
    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, float]:
        """Shares between 0 and 1 by name, higher being better."""


class KNN(Probe):
    """Weighted k-nearest-neighbour top-1 accuracy (see `knn_predict` for the protocols).

    Args:
        k: neighbours.
        temperature: of the similarity weights.
        protocol: `radio` weighs by exp(s / T), `dino` by a softmax over the k.
        when: during training too, or only at the end.
    """

    def __init__(
        self,
        k: Annotated[int, Field(ge=1)] = 20,
        temperature: Annotated[float, Field(gt=0)] = 0.07,
        protocol: Literal["radio", "dino"] = "radio",
        when: When = "always",
    ) -> None:
        self.k, self.temperature, self.when = k, temperature, when
        self.minimum_images = k
        self.protocol: Literal["radio", "dino"] = protocol

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, float]:
        """Top-1 accuracy on the test images."""
        predicted = knn_predict(*train, test.features, self.k, self.temperature, self.protocol)
        return {"accuracy": (predicted == test.labels).double().mean().item()}


class LinearProbe(Probe):
    """Top-1 accuracy of multinomial logistic regression on frozen features (see `linear_probe`).

    Args:
        c: inverse strength of the L2 penalty, as in scikit-learn.
        max_iterations: limit of L-BFGS; a probe that reaches it unconverged says so in the log.
        when: during training too, or only at the end.
    """

    def __init__(
        self,
        c: Annotated[float, Field(gt=0)] = 1.0,
        max_iterations: Annotated[int, Field(ge=1)] = 1000,
        when: When = "end",
    ) -> None:
        self.c, self.max_iterations, self.when = c, max_iterations, when

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, float]:
        """Top-1 accuracy on the test images."""
        result = linear_probe(*train, *test, c=self.c, max_iterations=self.max_iterations)
        if not result.converged:
            _log.warning(
                "the linear probe did not converge: objective %.6g after %d iterations; raise max_iterations",
                result.objective,
                result.iterations,
            )
        return {"accuracy": result.accuracy}
