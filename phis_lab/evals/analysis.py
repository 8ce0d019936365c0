"""UNIC's analyses of a student: how much its weights, its dimensions and its scales carry (figure 6, table G)."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from phis_lab.bounds import Above, Positive, SmallShare
from phis_lab.evals.embedding import embed
from phis_lab.evals.floors import Score, constant_answer
from phis_lab.evals.linear_probe import linear_probe
from phis_lab.evals.probes import Embeddings
from phis_lab.evals.pruning import pruned
from phis_lab.evals.sources import Tokens, select
from phis_lab.evals.subject import Images, Subject, Task
from phis_lab.evals.truncation import feature_moments, truncation_curve
from phis_lab.teachers import Features

TENTHS = tuple(tenth / 10 for tenth in range(10))


class Pruning(Task):
    """Linear-probe accuracy with the smallest weights of the backbone's linear layers at zero: `sparsity_<percent>`.

    The probe is trained anew for every share, on features of the pruned backbone (UNIC, figure 6a; see `pruned`).

    Args:
        shares: of the weights of each layer.
        tokens: the summary token, the mean of the spatial tokens, or both joined.
        train_images: labelled training images of the run.
        test_images: its test images.
        c: inverse strength of the probe's penalty.
        max_iterations: limit of L-BFGS.
    """

    headline = frozenset[str]()

    def __init__(
        self,
        shares: Annotated[Sequence[SmallShare], Field(min_length=1)] = TENTHS,
        tokens: Tokens = "summary",
        train_images: Positive = 2000,
        test_images: Positive = 1000,
        c: Above = 1.0,
        max_iterations: Positive = 3000,
    ) -> None:
        self.shares, self.c, self.max_iterations = list(shares), c, max_iterations
        self.tokens: Tokens = tokens
        self.train_images, self.test_images = train_images, test_images

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Top-1 accuracy by share.

        Raises:
            ValueError: the subject shows no module, or it has no linear layers.
        """
        if subject.backbone is None:
            raise ValueError("pruning changes the weights behind the tokens, and this subject shows no backbone")
        found: dict[str, float] = {}
        for share in self.shares:
            with pruned(subject.backbone, share):
                train = _own(subject, "train", self.train_images, self.tokens)
                test = _own(subject, "test", self.test_images, self.tokens)
            result = linear_probe(*train, *test, c=self.c, max_iterations=self.max_iterations)
            found[f"sparsity_{100 * share:g}"] = Score(result.accuracy, constant_answer(test.labels))
        return found


class Truncation(Task):
    """Linear-probe accuracy on the first principal components, whitened: `dims_<number>` (see `truncation_curve`).

    Args:
        dims: numbers of components; null halves the width down to 6.
        tokens: the summary token, the mean of the spatial tokens, or both joined.
        train_images: labelled training images of the run.
        test_images: its test images.
        c: inverse strength of the probe's penalty.
        max_iterations: limit of L-BFGS.
    """

    headline = frozenset[str]()

    def __init__(
        self,
        dims: Annotated[Sequence[Positive], Field(min_length=1)] | None = None,
        tokens: Tokens = "summary",
        train_images: Positive = 2000,
        test_images: Positive = 1000,
        c: Above = 1.0,
        max_iterations: Positive = 3000,
    ) -> None:
        self.dims, self.c, self.max_iterations = dims, c, max_iterations
        self.tokens: Tokens = tokens
        self.train_images, self.test_images = train_images, test_images

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Top-1 accuracy by number of components.

        Raises:
            ValueError: more components than the tokens have channels.
        """
        train = _own(subject, "train", self.train_images, self.tokens)
        test = _own(subject, "test", self.test_images, self.tokens)
        curve = truncation_curve(*train, *test, self.dims, c=self.c, max_iterations=self.max_iterations)
        return {f"dims_{dim}": Score(accuracy, constant_answer(test.labels)) for dim, accuracy in curve.items()}


class FeatureMoments(Task):
    """Lengths and spreads of the student's and the teachers' features on test images (see `feature_moments`).

    `student/summary/norm`, `teachers/<name>/spatial/std_of_channel` and so on; spatial features are averaged over the
    grid first, as in UNIC's table G. None of these numbers is better for being high or low.

    Args:
        images: test images of the run.

    Attributes:
        unranked: whether its numbers are descriptions that no report may rank.
    """

    unranked = True
    needs_labels = False

    def __init__(self, images: Annotated[int, Field(ge=2, le=10**9)] = 1000) -> None:
        self.images = images

    def unit(self, metric: str) -> str:
        """None: a length in the features' own scale."""
        del metric
        return ""

    def __call__(self, subject: Subject) -> dict[str, float]:
        """The three numbers of every kind of feature."""
        rows: dict[str, list[Tensor]] = {}
        for images, _ in subject.images("test", self.images):
            views = {"student": subject.tokens(images)}
            views |= {f"teachers/{name}": features for name, features in subject.teachers(images).items()}
            for who, features in views.items():
                for kind, row in _kinds(features):
                    rows.setdefault(f"{who}/{kind}", []).append(row.float())
        return {
            f"{name}/{number}": value
            for name, parts in rows.items()
            for number, value in feature_moments(torch.cat(parts)).items()
        }


def _kinds(features: Features) -> Iterator[tuple[str, Tensor]]:
    if features.summary is not None:
        yield "summary", features.summary
    if features.spatial is not None:
        yield "spatial", features.spatial.mean(dim=(1, 2))


def _own(subject: Subject, split: Literal["train", "test"], count: int, which: Tokens) -> Embeddings:
    def network(batch: Images) -> Features:
        return Features(select(subject.tokens(batch), which), None)

    return embed(network, subject.images(split, count))
