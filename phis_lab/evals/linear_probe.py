"""Linear probe: multinomial logistic regression on frozen features."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from phis_lab.shapes import Float, Int64


class ProbeResult(NamedTuple):
    """What a linear probe found.

    Attributes:
        accuracy: share of the test images whose class is predicted, in [0, 1].
        objective: the minimised function at the solution.
        iterations: steps of L-BFGS.
        converged: whether every entry of the gradient came below the tolerance; else raise `max_iterations`.
    """

    accuracy: float
    objective: float
    iterations: int
    converged: bool


@torch.inference_mode(False)
def linear_probe(
    train_x: Float[Tensor, "train dim"],
    train_y: Int64[Tensor, " train"],
    test_x: Float[Tensor, "test dim"],
    test_y: Int64[Tensor, " test"],
    *,
    c: float = 1.0,
    standardize: bool = True,
    max_iterations: int = 1000,
    tolerance: float = 1e-6,
) -> ProbeResult:
    """Trains a linear classifier by full-batch L-BFGS and returns its test accuracy.

    Minimises mean_i CE(W x_i + b, y_i) + |W|^2 / (2 c n) over n training images, in float64 and from zero:
    the minimum of scikit-learn's LogisticRegression(C=c), whose objective is c n times this; the intercept is
    not penalised. For two classes scikit-learn fits one vector instead of two; its C is then 2 `c`.
    The problem is convex, so the result depends on no seed and on no batch order.

    Args:
        train_x: frozen features.
        train_y: their labels, any integers.
        test_x: features of the test images.
        test_y: their labels.
        c: inverse strength of the penalty, in scikit-learn's units: it weighs a sum over images, not a mean.
        standardize: gives each channel mean 0 and variance 1 on the training images, so that the penalty
            treats features of any scale alike; constant channels are only centred. False leaves the problem
            as it is and solves it in coordinates of about unit curvature, which changes no minimum.
        max_iterations: limit of L-BFGS.
        tolerance: largest entry of the gradient at which it stops.

    Raises:
        ValueError: NaN in the features, one class only, test classes absent from training, sizes that do not
            agree, or `c` not positive.
    """
    _check(train_x, train_y, test_x, test_y, c)
    classes, train_class = train_y.unique(return_inverse=True)
    train, test = train_x.to(torch.float64, copy=True), test_x.double()
    std, mean = torch.std_mean(train, dim=0, correction=0)
    penalty = torch.full_like(mean, 1 / (c * len(train)))
    scale = std.where(std > 1e-12 * mean.abs(), 1.0)
    if not standardize:
        scale = (std.square() + penalty).sqrt()
        penalty = penalty / scale.square()
    train, test = (train - mean) / scale, (test - mean) / scale
    weight, bias, objective, iterations, gradient = _fit(train, train_class, penalty, max_iterations, tolerance)
    predicted = classes[linear(test, weight, bias).argmax(dim=1)]
    accuracy = (predicted == test_y).double().mean().item()
    return ProbeResult(accuracy, objective, iterations, converged=gradient <= tolerance)


@torch.enable_grad()
def _fit(
    x: Tensor, y: Tensor, penalty: Tensor, max_iterations: int, tolerance: float
) -> tuple[Tensor, Tensor, float, int, float]:
    classes = int(y.max()) + 1
    weight = x.new_zeros(classes, x.shape[1], requires_grad=True)
    bias = x.new_zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        tolerance_grad=tolerance,
        tolerance_change=0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = cross_entropy(linear(x, weight, bias), y) + (penalty * weight.square()).sum() / 2
        value.backward()
        return value

    optimizer.step(objective)
    value = objective().item()
    gradient = max(float(part.grad.abs().max()) for part in (weight, bias) if part.grad is not None)
    iterations = optimizer.state[weight]["n_iter"]
    return weight.detach(), bias.detach(), value, iterations, gradient


def _check(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, c: float) -> None:
    if not c > 0:
        raise ValueError(f"c must be positive, got {c}")
    for name, x, y in (("train", train_x, train_y), ("test", test_x, test_y)):
        if len(x) != len(y) or len(x) == 0 or x.shape[1] != train_x.shape[1]:
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
