"""What evaluations give: scores, and the probes that give them of frozen features with labels."""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, SupportsFloat

from torch import Tensor

from phis_lab.shapes import Float, Int64
from phis_lab.spoken import FRACTION

When = Literal["always", "end"]


class Score(float):
    """A measured number with all that a table has to know of it; arithmetic gives plain floats.

    >>> score = Score(0.125, floor=0.5, higher_is_better=False)
    >>> score.unit, score.like(0.25).floor, score.as_detail().detail
    ('fraction', 0.5, True)

    Attributes:
        floor: what a student that knows nothing scores, in the same unit; None where it is not known.
        unit: of the number; `fraction` and `fraction of ...` are shown in percent, "" stands for none.
        higher_is_better: the direction; None for a number that describes, which no report may rank.
        detail: shown in a table of its own, and not ranked; else it is a headline.
    """

    floor: float | None
    unit: str
    higher_is_better: bool | None
    detail: bool

    def __new__(
        cls,
        value: float,
        floor: float | None = None,
        unit: str = FRACTION,
        higher_is_better: bool | None = True,
        detail: bool = False,
    ) -> "Score":
        """Remembers the facts beside the value."""
        score = super().__new__(cls, value)
        score.floor, score.unit = floor, unit
        score.higher_is_better, score.detail = higher_is_better, detail
        return score

    @classmethod
    def of(cls, value: SupportsFloat) -> "Score":
        """The number itself, or a plain one as a share that should be high and whose floor is not known."""
        return value if isinstance(value, Score) else cls(float(value))

    def like(self, value: float) -> "Score":
        """Another value of the same meaning."""
        return Score(value, self.floor, self.unit, self.higher_is_better, self.detail)

    def as_detail(self) -> "Score":
        """The same number, shown in a table of its own."""
        return Score(self, self.floor, self.unit, self.higher_is_better, detail=True)


def constant_answer(labels: Int64[Tensor, " n"]) -> float:
    """Accuracy of the best answer that is the same for every image: the share of the largest class.

    NaN without labels.
    """
    if not labels.numel():
        return math.nan
    return int(labels.unique(return_counts=True)[1].max()) / labels.numel()


def accuracy_score(share: float, labels: Int64[Tensor, " n"]) -> Score:
    """A share of right answers, whose floor is the best constant answer to these labels.

    Example:
        >>> import torch
        >>> accuracy_score(0.75, torch.tensor([0, 0, 1, 1])).floor
        0.5
    """
    return Score(share, constant_answer(labels))


def mean_score(scores: Collection[Score]) -> Score:
    """The mean of scores of one meaning, whose floor is the mean of theirs where all have one."""
    floors = [score.floor for score in scores if score.floor is not None]
    floor = sum(floors) / len(floors) if len(floors) == len(scores) else None
    first = next(iter(scores))
    return Score(sum(scores) / len(scores), floor, first.unit, first.higher_is_better, first.detail)


def mean_by_name(rows: Sequence[Mapping[str, Score]]) -> dict[str, Score]:
    """The mean of every number over rows that all have it, with the floor of the first row."""
    return {name: score.like(sum(row[name] for row in rows) / len(rows)) for name, score in rows[0].items()}


def with_headlines(scores: Mapping[str, Score], headlines: Collection[str]) -> dict[str, Score]:
    """The same scores, of which those that are not named are details."""
    return {name: score if name in headlines else score.as_detail() for name, score in scores.items()}


class Embeddings(NamedTuple):
    """Frozen features of labelled images."""

    features: Float[Tensor, "n d"]
    labels: Int64[Tensor, "n"]


class Probe(ABC):
    """Measures frozen features.

    Attributes:
        when: during training too, or only at the end.
        minimum_images: labelled training images that it needs.
    """

    when: When
    minimum_images: int = 1

    @abstractmethod
    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, Score]:
        """Scores by name; see `accuracy_score` for a share of right answers."""
