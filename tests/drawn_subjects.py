"""Subjects without a network: what images look like is all that they know."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from phis_lab.evals.subject import Images, Subject
from phis_lab.features import Features

SIDE = 32
CLASSES = 6


def drawn_images(count: int, seed: int, side: int = SIDE) -> tuple[Images, Tensor]:
    """Class y has its own bright column of three, in its own one of two colours, and some noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = 0.2 * torch.rand(count, 3, side, side, generator=generator)
    for i, label in enumerate(labels.tolist()):
        left = (label % 3) * (side // 3)
        images[i, label // 3, :, left : left + side // 3] += 0.8
    return (images * 255).round() / 255, labels


def look(images: Images) -> Features:
    """Means of an image's parts: 4 x 4 as its summary, 2 x 2 as its patches."""
    return Features(adaptive_avg_pool2d(images, 4).flatten(1), adaptive_avg_pool2d(images, 2).permute(0, 2, 3, 1))


def drawn_subject(error: float = 0.0, side: int = SIDE) -> Subject:
    """A student whose tokens are `look`, with two teachers that it predicts up to an error.

    Teacher `whole` has both kinds of features, `local` patches only, and `summary` is ten times as large.
    """

    def images(split: Literal["train", "test"], count: int) -> Iterator[tuple[Images, Tensor]]:
        drawn, labels = drawn_images(count, 0 if split == "train" else 1, side)
        yield from zip(drawn.split(16), labels.split(16), strict=True)

    def teachers(seen: Images) -> dict[str, Features]:
        summary, spatial = look(seen)
        assert summary is not None
        return {"whole": Features(10 * summary, spatial), "local": Features(None, spatial)}

    def predictions(seen: Images) -> dict[str, Features]:
        return {name: Features(*(_off(x, error) for x in answer)) for name, answer in teachers(seen).items()}

    return Subject(look, predictions, teachers, images, side, torch.device("cpu"))


def _off(x: Tensor | None, error: float) -> Tensor | None:
    if x is None:
        return None
    return x + error * x.std() * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
