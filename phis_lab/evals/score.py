"""What an evaluation gives: a number with its unit, and the floor that it has to be read against."""

import math
from collections.abc import Collection

from torch import Tensor

from phis_lab.shapes import Int64

FRACTION = "fraction"


class Score(float):
    """A measured number that knows its floor and its unit; arithmetic gives plain floats.

    Attributes:
        floor: what a student that knows nothing scores, in the same unit; None where it is not known.
        unit: of the number; `fraction` and `fraction of ...` are shown in percent.
    """

    floor: float | None
    unit: str

    def __new__(cls, value: float, floor: float | None = None, unit: str = FRACTION) -> "Score":
        """Remembers the floor and the unit beside the value."""
        score = super().__new__(cls, value)
        score.floor, score.unit = floor, unit
        return score

    @classmethod
    def of(cls, value: float) -> "Score":
        """The number itself, or a plain float as a share whose floor is not known."""
        return value if isinstance(value, Score) else cls(value)


def constant_answer(labels: Int64[Tensor, " n"]) -> float:
    """Accuracy of the best answer that is the same for every image: the share of the largest class.

    NaN without labels.
    """
    if not labels.numel():
        return math.nan
    return int(labels.unique(return_counts=True)[1].max()) / labels.numel()


def mean_score(scores: Collection[Score]) -> Score:
    """The mean of scores of one unit, whose floor is the mean of theirs where all have one."""
    floors = [score.floor for score in scores if score.floor is not None]
    floor = sum(floors) / len(floors) if len(floors) == len(scores) else None
    return Score(sum(scores) / len(scores), floor, next(iter(scores)).unit)
