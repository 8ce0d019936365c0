"""Weighted k-nearest-neighbour classification of frozen features."""

from typing import Literal

import torch
from torch import Tensor

from phis_lab.bounds import Above, Positive
from phis_lab.evals.neighbours.nearest import nearest_neighbours
from phis_lab.evals.score import Embeddings, Probe, Score, When, accuracy_score
from phis_lab.guards import require_tensors
from phis_lab.shapes import Float, Int64

_CHUNK_ELEMENTS = 2**24


_SMALLEST_TEMPERATURE = 1 / 700


def knn_predict(
    train_x: Float[Tensor, "train dim"],
    train_y: Int64[Tensor, " train"],
    test_x: Float[Tensor, "test dim"],
    k: int = 20,
    temperature: float = 0.07,
    protocol: Literal["radio", "dino"] = "radio",
) -> Int64[Tensor, " test"]:
    """Predicts the class with the largest sum of weights among the k training images of largest cosine s.

    The weights are exp(s / T) under "radio" (AM-RADIO, k = 20, T = 0.07) and the softmax of s / T over the k
    neighbours under "dino" (DINOv2). They differ by a factor per test image, so both protocols predict the
    same classes; the name records which protocol a number claims to follow.

    Ties are broken by rule: similarities are summed in float64 and rounded to float32, so duplicates are
    equally near wherever they stand; of equally near images the first in `train_x` count, and of equal votes
    the smallest label wins. The memory for similarities and votes is constant (see `nearest_neighbours`).

    Args:
        train_x: features, in any scale.
        train_y: their labels, any integers.
        test_x: features to classify.
        k: number of neighbours that vote.
        temperature: T; the smaller, the more the nearest neighbours decide.
        protocol: whose weights to use.

    Raises:
        ValueError: fewer training images than `k`, a temperature below 1/700 (the weights would overflow),
            another protocol, sizes that do not agree, or NaN in the features.

    Example:
        >>> knn_predict(torch.eye(2), torch.tensor([7, 3]), torch.tensor([[0.9, 0.1]]), k=1).tolist()
        [7]
    """
    if protocol not in {"radio", "dino"}:
        raise ValueError(f"protocol must be radio or dino, got {protocol!r}")
    _check(train_x, train_y, temperature)
    similarity, index = nearest_neighbours(train_x, test_x, k)
    classes, train_class = train_y.unique(return_inverse=True)
    rows = max(1, _CHUNK_ELEMENTS // len(classes))
    predicted = [
        _vote(near.double(), train_class[where], len(classes), temperature, protocol)
        for near, where in zip(similarity.split(rows), index.split(rows), strict=True)
    ]
    labels: Tensor = classes[torch.cat(predicted)]
    return labels


def _vote(similarity: Tensor, neighbours: Tensor, classes: int, temperature: float, protocol: str) -> Tensor:
    scaled = similarity / temperature
    weights = scaled.exp() if protocol == "radio" else scaled.softmax(dim=1)
    votes = weights.new_zeros(len(weights), classes)
    for weight, neighbour in zip(weights.split(1, dim=1), neighbours.split(1, dim=1), strict=True):
        votes.scatter_add_(1, neighbour, weight)
    return votes.argmax(dim=1)


def _check(train_x: Tensor, train_y: Tensor, temperature: float) -> None:
    require_tensors(train_x=train_x, train_y=train_y)
    if not temperature >= _SMALLEST_TEMPERATURE:
        raise ValueError(f"temperature must be at least 1/700, got {temperature}")
    if train_y.ndim != 1 or len(train_x) != len(train_y):
        raise ValueError(f"sizes do not agree: train_x {tuple(train_x.shape)}, train_y {tuple(train_y.shape)}")


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
        k: Positive = 20,
        temperature: Above = 0.07,
        protocol: Literal["radio", "dino"] = "radio",
        when: When = "always",
    ) -> None:
        self.k, self.temperature, self.when = k, temperature, when
        self.minimum_images = k
        self.protocol: Literal["radio", "dino"] = protocol

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, Score]:
        """Top-1 accuracy on the test images."""
        predicted = knn_predict(*train, test.features, self.k, self.temperature, self.protocol)
        accuracy = (predicted == test.labels).double().mean().item()
        return {"accuracy": accuracy_score(accuracy, test.labels)}
