"""Multinomial logistic regression for many strengths of the penalty at once."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from phis_lab.evals.solvers.lbfgs import Minima, minimize
from phis_lab.guards import require_tensors
from phis_lab.linalg import Moments
from phis_lab.shapes import Bool, Float, Float64, Int64


def softmax_loss(
    logits: Float[Tensor, "models classes n"], y: Int64[Tensor, " n"]
) -> tuple[Float[Tensor, "models n"], Float[Tensor, "models classes n"]]:
    """Cross entropy -log p_y of every model and row, and its gradient p - onehot(y) by the logits.

    Rows come last: sums over few classes then run along whole vectors, which is several times faster on a CPU than
    classes last. One matrix product [models * classes, dim] @ [dim, n] gives the logits of all models.
    """
    rows = y.expand(len(logits), 1, -1)
    logs = logits.log_softmax(dim=1)
    loss = -logs.gather(1, rows)[:, 0]
    residual = logs.exp_()
    residual.scatter_add_(1, rows, residual.new_tensor(-1.0).expand_as(rows))
    return loss, residual


_FLOAT32_VALUES = 1e-4


_BLOCK_ROWS = 2048


_BLOCK_LOGITS = 2**19


class LogisticFit(NamedTuple):
    """One classifier per strength of the penalty: the logits of x are `weight[i] @ x + bias[i]`.

    Attributes:
        weight: of every class.
        bias: of every class.
        objective: the minimised functions at the solutions.
        iterations: steps of L-BFGS.
        converged: whether the gradients came below the tolerance.
    """

    weight: Float64[Tensor, "strengths classes dim"]
    bias: Float64[Tensor, "strengths classes"]
    objective: Float64[Tensor, " strengths"]
    iterations: Int64[Tensor, " strengths"]
    converged: Bool[Tensor, " strengths"]


def fit_logistic(
    x: Float[Tensor, "n dim"],
    y: Int64[Tensor, " n"],
    cs: Sequence[float],
    *,
    max_iterations: int = 5000,
    tolerance: float = 3e-5,
) -> LogisticFit:
    """Minimises mean_i CE(W x_i + b, y_i) + |W|^2 / (2 c n) for every c at once, by L-BFGS from zero.

    One matrix product gives the logits of every c that is not solved yet. The features are turned to their
    principal axes, where scales per axis and c make the curvature at zero about one: hard problems take several
    times fewer steps, and no minimum changes. Products are in float32 until its rounding hides all progress, then
    in float64; values, gradients and steps are summed in float64 throughout.

    Args:
        x: features; finite.
        y: classes, 0 to their number - 1.
        cs: inverse strengths of the penalty, each scikit-learn's C. For two classes scikit-learn fits one vector
            instead of two; its C is then 2 c.
        max_iterations: limit of steps for every c.
        tolerance: stops where the gradient, in the coordinates of unit curvature, is no longer than this share of
            the objective. 3e-5 leaves the objective within about 1e-7 of its minimum, 1e-6 where it is hard.
    """
    require_tensors(x=x, y=y)
    n, classes = len(x), int(y.max()) + 1
    x = x.double()
    moments = Moments(x.shape[1]).update(x)
    variances, axes = moments.eigh()
    variances, axes = variances[:n], axes[:, :n]
    strength = 1 / (torch.tensor(cs, dtype=x.dtype, device=x.device)[:, None] * n)
    penalty = pad(strength.expand(-1, len(variances)), (0, 1))
    scale = (pad(variances, (0, 1), value=1.0) / classes + penalty).rsqrt()
    z = pad((x - moments.mean) @ axes, (0, 1), value=1.0)
    found = _solve(_Problem(z, y, penalty, scale, classes), max_iterations, tolerance)
    turned = found.x.view(len(cs), classes, -1) * scale[:, None]
    weight = turned[..., :-1] @ axes.T
    return LogisticFit(weight, turned[..., -1] - weight @ moments.mean, *found[1:])


class _Problem:
    """The objectives of every c in coordinates of about unit curvature, v = weight / scale.

    Args:
        z: features on their principal axes and a last column of ones, [n, axes].
        y: classes.
        penalty: of the weights along every axis, [strengths, axes].
        scale: of the coordinates, [strengths, axes].
        classes: their number.
    """

    def __init__(self, z: Tensor, y: Tensor, penalty: Tensor, scale: Tensor, classes: int) -> None:
        self.z, self.y, self.penalty, self.scale, self.classes = z, y, penalty, scale, classes

    def in_float32(self) -> "_Problem":
        return _Problem(self.z.float(), self.y, self.penalty, self.scale, self.classes)

    def start(self) -> Tensor:
        strengths, axes = self.scale.shape
        return self.scale.new_zeros(strengths, self.classes * axes)

    def __call__(self, v: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        scale, penalty = self.scale[problems, None], self.penalty[problems, None]
        weight = v.view(len(v), self.classes, -1) * scale
        rows = weight.flatten(0, 1).to(self.z.dtype)
        loss, slope = v.new_zeros(len(v)), torch.zeros_like(rows, dtype=v.dtype)
        block = min(_BLOCK_ROWS, max(1, _BLOCK_LOGITS // len(rows)))
        for z, y in zip(self.z.split(block), self.y.split(block), strict=True):
            losses, residual = softmax_loss((rows @ z.T).view(len(v), self.classes, -1), y)
            loss += losses.sum(dim=1, dtype=v.dtype)
            slope += residual.flatten(0, 1) @ z
        value = loss / len(self.z) + (penalty * weight.square()).sum(dim=(1, 2)) / 2
        gradient = (slope.view_as(weight) / len(self.z) + penalty * weight) * scale
        return value, gradient.flatten(1)


def _solve(problem: _Problem, max_iterations: int, tolerance: float) -> Minima:
    def solved(value: Tensor, gradient: Tensor) -> Tensor:
        length: Tensor = gradient.norm(dim=1)
        return length <= tolerance * value

    def solved_for_float32(value: Tensor, gradient: Tensor) -> Tensor:
        return solved(value.clamp_min(torch.finfo(torch.float32).eps / tolerance), gradient)

    rough = minimize(
        problem.in_float32(),
        problem.start(),
        solved_for_float32,
        max_iterations=max_iterations,
        rounding=_FLOAT32_VALUES,
    )
    fine = minimize(problem, rough.x, solved, max_iterations=max_iterations - rough.iterations)
    return fine._replace(iterations=rough.iterations + fine.iterations)
