"""Weighted k-nearest-neighbour classification of frozen features."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

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
    the smallest label wins. The test set is walked in chunks, so the memory for similarities is constant.

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
    """
    if protocol not in {"radio", "dino"}:
        raise ValueError(f"protocol must be radio or dino, got {protocol!r}")
    _check(train_x, train_y, test_x, k, temperature)
    classes, train_class = train_y.unique(return_inverse=True)
    train = normalize(train_x.double(), dim=1)
    rows = max(1, _CHUNK_ELEMENTS // len(train))
    predicted = []
    for test in test_x.split(rows):
        similarity, index = _nearest(normalize(test.double(), dim=1) @ train.T, k)
        predicted.append(_vote(similarity, train_class[index], len(classes), temperature, protocol))
    labels: Tensor = classes[torch.cat(predicted)]
    return labels


def _nearest(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Returns the k largest of each row and where they stand, the first ones where the last is shared."""
    similarity = similarity.float()
    value, index = similarity.topk(k, dim=1)
    shared = (similarity >= value[:, -1:]).sum(dim=1) > k
    if shared.any():
        index[shared] = similarity[shared].argsort(dim=1, descending=True, stable=True)[:, :k]
    return value.double(), index


def _vote(similarity: Tensor, neighbours: Tensor, classes: int, temperature: float, protocol: str) -> Tensor:
    scaled = similarity / temperature
    weights = scaled.exp() if protocol == "radio" else scaled.softmax(dim=1)
    votes = weights.new_zeros(len(weights), classes)
    for weight, neighbour in zip(weights.split(1, dim=1), neighbours.split(1, dim=1), strict=True):
        votes.scatter_add_(1, neighbour, weight)
    return votes.argmax(dim=1)


def _check(train_x: Tensor, train_y: Tensor, test_x: Tensor, k: int, temperature: float) -> None:
    if not 1 <= k <= len(train_x):
        raise ValueError(f"k must lie between 1 and the {len(train_x)} training images, got {k}")
    if not temperature >= _SMALLEST_TEMPERATURE:
        raise ValueError(f"temperature must be at least 1/700, got {temperature}")
    if len(train_x) != len(train_y) or train_x.shape[1] != test_x.shape[1]:
        raise ValueError(
            f"sizes do not agree: train_x {tuple(train_x.shape)}, train_y {tuple(train_y.shape)}, "
            f"test_x {tuple(test_x.shape)}"
        )
    for name, x in (("train_x", train_x), ("test_x", test_x)):
        if not x.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity; look at the features before they are classified")
