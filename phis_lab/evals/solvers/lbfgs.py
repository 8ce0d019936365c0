"""L-BFGS for many independent problems of one shape, evaluated together."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.shapes import Bool, Float, Int64

_DECREASE = 1e-4


_CURVATURE = 0.9


_GROWTH = 4.0


class _Point(NamedTuple):
    step: float
    value: float
    slope: float


class WolfeSearch:
    """Looks along a descent direction for a step t with enough decrease and a slope flat enough.

    With phi(t) the value after a step t, it accepts phi(t) <= phi(0) + 1e-4 t phi'(0) and |phi'(t)| <= 0.9 |phi'(0)|
    (Nocedal and Wright, Numerical Optimization, eq. 3.7). Where phi rises by no more than rounding, the decrease is
    judged by slopes (Hager and Zhang 2005, eq. 4.1). Whoever evaluates asks for `step`
    and tells the outcome, so that many searches can share their evaluations.

    Args:
        value: phi(0).
        slope: phi'(0), negative.
        rounding: relative error of the values.
        step: the first trial.
    """

    def __init__(self, value: float, slope: float, rounding: float = 1e-9, step: float = 1.0) -> None:
        self.step = step
        self._noise = rounding * abs(value)
        self._start = self._low = _Point(0.0, value, slope)
        self._high: _Point | None = None

    def tell(self, value: float, slope: float) -> bool:
        """Takes phi and phi' at `step`; True accepts the step, False sets the next one."""
        trial = _Point(self.step, value, slope)
        enough = self._decreases(trial)
        if enough and abs(slope) <= -_CURVATURE * self._start.slope:
            return True
        if enough and slope < 0:
            self._low = trial
        else:
            self._high = trial
        self.step = _GROWTH * self.step if self._high is None else _between(self._low, self._high)
        return False

    def _decreases(self, trial: _Point) -> bool:
        _, value, slope = self._start
        if trial.value <= value + _DECREASE * trial.step * slope:
            return True
        close = trial.value <= value + self._noise
        return close and trial.slope <= (2 * _DECREASE - 1) * slope


def _between(low: _Point, high: _Point) -> float:
    """Minimum of the cubic through both points, kept off the ends of the bracket; the middle where there is none."""
    width = high.step - low.step
    if math.isfinite(high.value) and math.isfinite(high.slope):
        bend = low.slope + high.slope - 3 * (high.value - low.value) / width
        square = bend * bend - low.slope * high.slope
        if square >= 0:
            root = math.sqrt(square)
            share = 1 - (high.slope + root - bend) / (high.slope - low.slope + 2 * root)
            return low.step + width * min(max(share, 0.1), 0.9)
    return low.step + width / 2


_TRIALS = 25


_PATIENCE = 20


Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(points [live, n], which problems [live]) -> values [live] and gradients [live, n]; each row its own function."""


Solved = Callable[[Tensor, Tensor], Tensor]
"""(values [live], gradients [live, n]) -> which problems are solved [live]."""


class Minima(NamedTuple):
    """Where the problems ended.

    Attributes:
        x: the points.
        value: their values.
        iterations: steps that each problem took.
        converged: whether each was solved; else it reached the limit of steps, or rounding hid all progress: no
            step along its direction was accepted, or 20 steps brought no lower value.
    """

    x: Float[Tensor, "problems n"]
    value: Float[Tensor, " problems"]
    iterations: Int64[Tensor, " problems"]
    converged: Bool[Tensor, " problems"]


class _Pair(NamedTuple):
    """A step s, the change y of the gradient over it, and 1 / (s . y), or 0 where the curvature was not positive."""

    s: Tensor
    y: Tensor
    rho: Tensor


class _Live(NamedTuple):
    """The problems that go on.

    Attributes:
        problems: which they are.
        x: where they are.
        value: there.
        gradient: there.
        lowest: value, and length of the gradient, so far.
        idle: steps since either fell; the patience at once where no step was accepted.
        scale: of the inverse Hessian before its pairs.
        pairs: the newest, oldest first.
    """

    problems: Tensor
    x: Tensor
    value: Tensor
    gradient: Tensor
    lowest: Tensor
    idle: Tensor
    scale: Tensor
    pairs: list[_Pair]

    def keep(self, rows: Tensor) -> "_Live":
        pairs = [_Pair(*(part[rows] for part in pair)) for pair in self.pairs]
        problems, x, value, gradient, lowest, idle, scale = (part[rows] for part in self[:-1])
        return _Live(problems, x, value, gradient, lowest, idle, scale, pairs)


@torch.no_grad()
def minimize(
    objective: Objective,
    start: Float[Tensor, "problems n"],
    solved: Solved,
    *,
    max_iterations: int | Int64[Tensor, " problems"],
    history: int = 10,
    rounding: float = 1e-9,
) -> Minima:
    """Minimises independent smooth functions by L-BFGS (Liu and Nocedal 1989) with a strong Wolfe line search.

    Each problem has its own history, line search and end, as if it were alone; only evaluations are shared, and
    a finished problem is no longer evaluated. The first direction is the negative gradient: coordinates in which
    the curvature is about one along every axis save most of the steps.

    Args:
        objective: values and gradients of the named problems, at one point each.
        start: a point per problem.
        solved: the stopping rule, asked at the start and after every step.
        max_iterations: limit of steps, for all or for each.
        history: pairs of steps and gradient changes from which the inverse Hessian is estimated.
        rounding: relative error of the values; changes below it are judged by slopes.
    """
    everyone = torch.arange(len(start), device=start.device)
    limit = torch.as_tensor(max_iterations, device=start.device).expand(len(start))
    live = _first(objective, start, everyone)
    found = Minima(start.clone(), live.value.clone(), torch.zeros_like(everyone), torch.zeros_like(everyone).bool())
    iteration = 0
    while True:
        done = solved(live.value, live.gradient)
        leave = done | (live.idle >= _PATIENCE) | (iteration >= limit[live.problems])
        if leave.any():
            gone = live.problems[leave]
            found.x[gone], found.value[gone] = live.x[leave], live.value[leave]
            found.iterations[gone], found.converged[gone] = iteration, done[leave]
            if leave.all():
                return found
            live = live.keep(~leave)
        live = _step(objective, live, history, rounding)
        iteration += 1


def _first(objective: Objective, start: Tensor, problems: Tensor) -> _Live:
    value, gradient = objective(start, problems)
    scale = gradient.norm(dim=1).reciprocal().clamp_max(1)
    return _Live(problems, start, value, gradient, _progress(value, gradient), torch.zeros_like(problems), scale, [])


def _progress(value: Tensor, gradient: Tensor) -> Tensor:
    return torch.stack([value, gradient.norm(dim=1)], dim=1)


def _step(objective: Objective, live: _Live, history: int, rounding: float) -> _Live:
    """Every live problem after one more step."""
    direction = -_inverse_hessian_times(live.gradient, live)
    x, value, gradient, accepted = _search(objective, live, direction, rounding)
    s, y = x - live.x, gradient - live.gradient
    curvature = torch.linalg.vecdot(s, y)
    positive = curvature > 0
    scale = torch.where(positive, curvature / torch.linalg.vecdot(y, y), live.scale)
    pair = _Pair(s, y, torch.where(positive, curvature.reciprocal(), 0.0))
    reached = _progress(value, gradient)
    progress = (reached < live.lowest).any(dim=1)
    idle = torch.where(accepted, torch.where(progress, 0, live.idle + 1), _PATIENCE)
    lowest = torch.minimum(reached, live.lowest)
    return _Live(live.problems, x, value, gradient, lowest, idle, scale, [*live.pairs, pair][-history:])


def _inverse_hessian_times(gradient: Tensor, live: _Live) -> Tensor:
    """The two-loop recursion (Nocedal and Wright, Numerical Optimization, algorithm 7.4) of every problem."""
    q, weights = gradient.clone(), []
    for s, y, rho in reversed(live.pairs):
        weights.append(rho * torch.linalg.vecdot(s, q))
        q.addcmul_(weights[-1][:, None], y, value=-1)
    q *= live.scale[:, None]
    for s, y, rho in live.pairs:
        q.addcmul_((weights.pop() - rho * torch.linalg.vecdot(y, q))[:, None], s)
    return q


def _search(
    objective: Objective, live: _Live, direction: Tensor, rounding: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The point that each problem accepts along its direction, value and gradient there, and whether there is one."""
    slopes = torch.linalg.vecdot(live.gradient, direction)
    searches = [WolfeSearch(*both, rounding) for both in zip(live.value.tolist(), slopes.tolist(), strict=True)]
    x, value, gradient = live.x.clone(), live.value.clone(), live.gradient.clone()
    rows = torch.arange(len(searches), device=x.device)
    for _ in range(_TRIALS):
        asked = [searches[row] for row in rows.tolist()]
        steps = x.new_tensor([search.step for search in asked])
        trial = torch.addcmul(live.x[rows], steps[:, None], direction[rows])
        values, gradients = objective(trial, live.problems[rows])
        slopes = torch.linalg.vecdot(gradients, direction[rows])
        told = zip(asked, values.tolist(), slopes.tolist(), strict=True)
        accepts = torch.tensor([search.tell(*outcome) for search, *outcome in told], device=x.device)
        done = rows[accepts]
        x[done], value[done], gradient[done] = trial[accepts], values[accepts], gradients[accepts]
        rows = rows[~accepts]
        if not len(rows):
            break
    accepted = torch.ones_like(live.problems).bool()
    accepted[rows] = False
    return x, value, gradient, accepted
