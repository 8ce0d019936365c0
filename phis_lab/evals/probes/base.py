"""What every probe is: frozen features of labelled images go in, accuracies come out."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

from torch import Tensor

from phis_lab.evals.score import Score
from phis_lab.shapes import Float, Int64

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
    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, Score]:
        """Scores by name; see `accuracy_score` for a share of right answers."""
