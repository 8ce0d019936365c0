"""Lengths and spreads of a student's and its teachers' features (UNIC, table G)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from phis_lab.evals.score import Score
from phis_lab.evals.subject import Subject, Task
from phis_lab.shapes import Float


@torch.no_grad()
def feature_moments(x: Float[Tensor, "n dim"]) -> dict[str, float]:
    """The three numbers of UNIC's table G.

    Returns:
        `norm`, the mean length of a row; `std_of_sample`, the mean over rows of the standard deviation over channels;
        `std_of_channel`, the mean over channels of the standard deviation over rows.

    Raises:
        ValueError: fewer than two rows.
    """
    if len(x) < 2:
        raise ValueError(f"moments need two rows or more, got {len(x)}")
    x = x.double()
    return {
        "norm": float(torch.linalg.vector_norm(x, dim=1).mean()),
        "std_of_sample": float(x.std(dim=1).mean()),
        "std_of_channel": float(x.std(dim=0).mean()),
    }


class FeatureMoments(Task):
    """Lengths and spreads of the student's and the teachers' features on test images (see `feature_moments`).

    `student/summary/norm`, `teachers/<name>/spatial/std_of_channel` and so on; spatial features are averaged over the
    grid first, as in UNIC's table G. None of these numbers is better for being high or low.

    Args:
        images: test images of the run.
    """

    needs_labels = False

    def __init__(self, images: Annotated[int, Field(ge=2, le=10**9)] = 1000) -> None:
        self.images = images

    def __call__(self, subject: Subject) -> dict[str, Score]:
        """The three numbers of every kind of feature."""
        rows: dict[str, list[Tensor]] = {}
        for images, _ in subject.images("test", self.images):
            views = {"student": subject.tokens(images)}
            views |= {f"teachers/{name}": features for name, features in subject.teachers(images).items()}
            for who, features in views.items():
                for kind in features.kinds():
                    rows.setdefault(f"{who}/{kind}", []).append(features.pooled(kind).float())
        return {
            f"{name}/{number}": Score(value, unit="", higher_is_better=None)  # a length in the features' own scale
            for name, parts in rows.items()
            for number, value in feature_moments(torch.cat(parts)).items()
        }
