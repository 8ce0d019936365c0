"""Probes of the first principal components of a student's features (UNIC, figure 6b)."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from phis_lab.bounds import Above, Positive
from phis_lab.evals.embedding import embed_own
from phis_lab.evals.probes.linear import linear_probe
from phis_lab.evals.score import Score, accuracy_score
from phis_lab.evals.subject import Subject, Task
from phis_lab.features import Tokens
from phis_lab.linalg import Moments
from phis_lab.shapes import Float, Float64, Int64

_SMALLEST_DIM = 6


_NO_VARIANCE = 1e-12


class WhitenedComponents:
    """The first principal components of training features, each with variance 1 on them.

    z = L_d^-1/2 U_d^T (x - mean). Directions without variance, which fewer images than channels leave over, give 0.

    Args:
        train: features that the components are those of.

    Raises:
        ValueError: NaN in the features, or fewer than two rows.
    """

    def __init__(self, train: Float[Tensor, "n dim"]) -> None:
        moments = Moments(train.shape[1]).update(train.double())
        variances, basis = moments.eigh()
        scale = variances.rsqrt().where(variances > _NO_VARIANCE * variances[0], 0.0)
        self.mean, self.axes = moments.mean, basis * scale

    def __call__(self, x: Float[Tensor, "n dim"], dim: int) -> Float64[Tensor, "n {dim}"]:
        """The first `dim` components of features."""
        return (x.double() - self.mean) @ self.axes[:, :dim]


def halved_dims(width: int) -> list[int]:
    """The width, its half and so on down to 6: for 768 channels the eight of UNIC's figure 6."""
    dims = [width]
    while dims[-1] // 2 >= _SMALLEST_DIM:
        dims.append(dims[-1] // 2)
    return dims


def truncation_curve(
    train_x: Float[Tensor, "train dim"],
    train_y: Int64[Tensor, " train"],
    test_x: Float[Tensor, "test dim"],
    test_y: Int64[Tensor, " test"],
    dims: Sequence[int] | None = None,
    *,
    c: float = 1.0,
    max_iterations: int = 3000,
) -> dict[int, float]:
    """Accuracy of a linear probe on the first components, whitened, by their number (UNIC, figure 6b).

    Args:
        train_x: frozen features, which the components are those of.
        train_y: their labels.
        test_x: features of the test images.
        test_y: their labels.
        dims: numbers of components; None takes `halved_dims`.
        c: inverse strength of the probe's penalty.
        max_iterations: limit of L-BFGS.

    Raises:
        ValueError: more components than channels, or as `linear_probe_path`.
    """
    width = train_x.shape[1]
    dims = halved_dims(width) if dims is None else dims
    if too_many := [dim for dim in dims if not 1 <= dim <= width]:
        raise ValueError(f"features of {width} channels have 1 to {width} components, got {too_many}; change dims")
    components = WhitenedComponents(train_x)
    train, test = components(train_x, width), components(test_x, width)
    return {
        dim: linear_probe(
            *(train[:, :dim], train_y, test[:, :dim], test_y), c=c, standardize=False, max_iterations=max_iterations
        ).accuracy
        for dim in dims
    }


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

    def __call__(self, subject: Subject) -> dict[str, Score]:
        """Top-1 accuracy by number of components, as details.

        Raises:
            ValueError: more components than the tokens have channels.
        """
        train = embed_own(subject, "train", self.train_images, self.tokens)
        test = embed_own(subject, "test", self.test_images, self.tokens)
        curve = truncation_curve(*train, *test, self.dims, c=self.c, max_iterations=self.max_iterations)
        return {f"dims_{dim}": accuracy_score(share, test.labels).as_detail() for dim, share in curve.items()}
