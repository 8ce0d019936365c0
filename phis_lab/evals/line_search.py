"""A line search for the strong Wolfe conditions, told one trial at a time."""

import math
from typing import NamedTuple

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
