"""Linear probes: multinomial logistic regression on frozen features, solved to its minimum."""

import logging
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from annotated_types import MinLen
from torch import Tensor

from phis_lab.bounds import Above, Positive
from phis_lab.evals.score import Embeddings, Probe, Score, When, accuracy_score
from phis_lab.evals.solvers.logistic import fit_logistic
from phis_lab.evals.solvers.search import Accuracies, Grid, Values, choose_held_out
from phis_lab.guards import require_tensors
from phis_lab.shapes import Float, Int64

_log = logging.getLogger(__name__)


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

    Example:
        >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
        >>> linear_probe(x, y, x, y).accuracy
        1.0
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


def logistic_accuracies(standardize: bool = True, max_iterations: int = 5000) -> Accuracies:
    """What `choose_held_out` asks of `linear_probe_path`, for the hyperparameter `c`."""

    def accuracies(x: Tensor, y: Tensor, other_x: Tensor, other_y: Tensor, tried: Sequence[Values]) -> list[float]:
        cs = [values["c"] for values in tried]
        path = linear_probe_path(x, y, other_x, other_y, cs=cs, standardize=standardize, max_iterations=max_iterations)
        return [result.accuracy for result in path]

    return accuracies


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


class LinearProbe(Probe):
    """Top-1 accuracy of multinomial logistic regression on frozen features (see `linear_probe_path`).

    Args:
        c: inverse strength of the L2 penalty, as in scikit-learn; or several, all fitted at once on four fifths of
            every class: the best on the last fifth (of equals the smallest) is fitted again on all, then tested.
        max_iterations: limit of L-BFGS; a probe that reaches it unconverged says so in the log.
        when: during training too, or only at the end.
    """

    def __init__(
        self,
        c: Above | Annotated[Sequence[Above], MinLen(1)] = 1.0,
        max_iterations: Positive = 5000,
        when: When = "end",
    ) -> None:
        self.cs = sorted(c) if isinstance(c, Sequence) else [c]
        self.max_iterations, self.when = max_iterations, when

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, Score]:
        """Top-1 accuracy on the test images."""
        c = self.cs[0] if len(self.cs) == 1 else self._chosen(train)
        result = linear_probe(*train, *test, c=c, max_iterations=self.max_iterations)
        if not result.converged:
            _log.warning(
                "the linear probe did not converge: objective %.6g after %d iterations; raise max_iterations",
                result.objective,
                result.iterations,
            )
        return {"accuracy": accuracy_score(result.accuracy, test.labels)}

    def _chosen(self, train: Embeddings) -> float:
        accuracies = logistic_accuracies(max_iterations=self.max_iterations)
        chosen = choose_held_out(*train, accuracies, Grid("c", self.cs))
        c, text = chosen.values["c"], "the linear probe chose c = %g of %g to %g: %.4f on the held-out fifth"
        _log.info(text, c, self.cs[0], self.cs[-1], chosen.score)
        return c
