"""Linear probe: multinomial logistic regression on frozen features."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.evals.logistic import fit_logistic
from phis_lab.guards import require_tensors
from phis_lab.shapes import Float, Int64


class ProbeResult(NamedTuple):
    """What a linear probe found.

    Attributes:
        accuracy: share of the test images whose class is predicted, in [0, 1].
        objective: the minimised function at the solution.
        iterations: steps of L-BFGS.
        converged: whether the gradient came below the tolerance; else raise `max_iterations`.
    """

    accuracy: float
    objective: float
    iterations: int
    converged: bool


def linear_probe(
    train_x: Float[Tensor, "train dim"],
    train_y: Int64[Tensor, " train"],
    test_x: Float[Tensor, "test dim"],
    test_y: Int64[Tensor, " test"],
    *,
    c: float = 1.0,
    standardize: bool = True,
    max_iterations: int = 5000,
    tolerance: float = 3e-5,
) -> ProbeResult:
    """Trains a linear classifier by full-batch L-BFGS and returns its test accuracy.

    `linear_probe_path` for one value of c: see there for the objective, the arguments and the errors.
    """
    (result,) = linear_probe_path(
        train_x,
        train_y,
        test_x,
        test_y,
        cs=[c],
        standardize=standardize,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    return result


@torch.inference_mode(False)
def linear_probe_path(
    train_x: Float[Tensor, "train dim"],
    train_y: Int64[Tensor, " train"],
    test_x: Float[Tensor, "test dim"],
    test_y: Int64[Tensor, " test"],
    *,
    cs: Sequence[float],
    standardize: bool = True,
    max_iterations: int = 5000,
    tolerance: float = 3e-5,
) -> list[ProbeResult]:
    """Trains one linear classifier per c, all together, and returns their test accuracies in the order of `cs`.

    Each minimises mean_i CE(W x_i + b, y_i) + |W|^2 / (2 c n) over n training images, from zero: the minimum of
    scikit-learn's LogisticRegression(C=c), whose objective is c n times this; the intercept is not penalised. For
    two classes scikit-learn fits one vector instead of two; its C is then 2 c. The problem is convex, so the result
    depends on no seed and on no batch order.

    Args:
        train_x: frozen features.
        train_y: their labels, any integers.
        test_x: features of the test images.
        test_y: their labels.
        cs: inverse strengths of the penalty, in scikit-learn's units: they weigh a sum over images, not a mean.
        standardize: gives each channel mean 0 and variance 1 on the training images, so that the penalty
            treats features of any scale alike; constant channels are only centred.
        max_iterations: limit of L-BFGS for each c.
        tolerance: length of the gradient, relative to the objective, at which it stops (see `fit_logistic`).

    Raises:
        ValueError: NaN in the features, one class only, test classes absent from training, sizes that do not
            agree, or a c that is not positive.
    """
    if not cs:
        raise ValueError("cs holds no value; give one c or more")
    for c in cs:
        if not 0 < c < float("inf"):
            raise ValueError(f"c must be positive and finite, got {c}")
    check_probe_data(train_x, train_y, test_x, test_y)
    classes, train_class = train_y.unique(return_inverse=True)
    train, test = train_x.double(), test_x.double()
    if standardize:
        std, mean = torch.std_mean(train, dim=0, correction=0)
        scale = std.where(std > 1e-12 * mean.abs(), 1.0)
        train, test = (train - mean) / scale, (test - mean) / scale
    fit = fit_logistic(train, train_class, cs, max_iterations=max_iterations, tolerance=tolerance)
    logits = (fit.weight.flatten(0, 1) @ test.T).unflatten(0, fit.bias.shape) + fit.bias[..., None]
    accuracies = (classes[logits.argmax(dim=1)] == test_y).double().mean(dim=1)
    found = (accuracies, fit.objective, fit.iterations, fit.converged)
    return [ProbeResult(*row) for row in zip(*(part.tolist() for part in found), strict=True)]


def check_probe_data(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> None:
    """Raises ValueError for data that no probe can be trained or tested on."""
    require_tensors(train_x=train_x, train_y=train_y, test_x=test_x, test_y=test_y)
    for name, x, y in (("train", train_x, train_y), ("test", test_x, test_y)):
        if x.ndim != 2 or y.ndim != 1 or len(x) != len(y) or len(x) == 0 or x.shape[1] != train_x.shape[1]:
            raise ValueError(
                f"sizes do not agree: {name} features {tuple(x.shape)}, {name} labels {tuple(y.shape)}, "
                f"training features {tuple(train_x.shape)}"
            )
        if not x.isfinite().all():
            raise ValueError(f"{name}_x holds NaN or infinity; look at the features before they are probed")
    seen = train_y.unique()
    if len(seen) < 2:
        raise ValueError(f"a probe needs two classes or more, the training labels hold only {seen.tolist()}")
    absent = test_y[~torch.isin(test_y, seen)].unique().tolist()
    if absent:
        raise ValueError(f"test classes {absent} are absent from training, so they could never be predicted")
