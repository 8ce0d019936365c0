"""The strength of an L2 penalty, searched by optuna on a held-out fifth of every class."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from phis_lab.evals.held_out import hold_out
from phis_lab.evals.linear_probe import linear_probe_path
from phis_lab.evals.tpe import Values, search
from phis_lab.shapes import Float, Int64

UNIC_SEED = 22
"""Of the sampler, as UNIC has it."""


class ChosenPenalty(NamedTuple):
    """What the search found.

    Attributes:
        c: inverse strength of the penalty, in scikit-learn's units.
        accuracy: on the held-out fifth.
        tried: every c of the search, in its order, with its accuracy.
    """

    c: float
    accuracy: float
    tried: list[tuple[float, float]]


def search_penalty(
    x: Float[Tensor, "n dim"],
    y: Int64[Tensor, " n"],
    *,
    trials: int = 40,
    c_range: tuple[float, float] = (1e-5, 1e6),
    max_iterations: int = 2000,
    seed: int = UNIC_SEED,
) -> ChosenPenalty:
    """Chooses C by the accuracy on a held-out fifth of every class, with optuna's TPE sampler over log C.

    UNIC, appendix B: 40 trials, C log-uniform in [1e-5, 1e6], features as they are. Of equally accurate values the
    smallest is taken. TPE draws its first ten trials at random, so these are solved together.

    Args:
        x: frozen features of all training images.
        y: their labels.
        trials: values of C.
        c_range: smallest and largest C.
        max_iterations: limit of L-BFGS for each C.
        seed: of the sampler and of the split.

    Raises:
        ModuleNotFoundError: optuna is not installed.
        ValueError: a class of one image, which cannot be split; and as `linear_probe_path`.
    """
    refuse_single_images(y)
    split = hold_out(y, seed=seed)
    parts = [part[rows] for rows in split for part in (x, y)]

    def score(trials_together: Sequence[Values]) -> list[float]:
        return _accuracies(parts, [values["c"] for values in trials_together], max_iterations)

    found = search({"c": c_range}, score, trials=trials, seed=seed)
    tried = [(values["c"], accuracy) for values, accuracy in found]
    c, accuracy = max(tried, key=lambda pair: (pair[1], -pair[0]))
    return ChosenPenalty(c, accuracy, tried)


def _accuracies(parts: Sequence[Tensor], cs: Sequence[float], max_iterations: int) -> list[float]:
    train_x, train_y, held_x, held_y = parts
    path = linear_probe_path(train_x, train_y, held_x, held_y, cs=cs, standardize=False, max_iterations=max_iterations)
    return [result.accuracy for result in path]


def refuse_single_images(y: Int64[Tensor, " n"]) -> None:
    """Raises ValueError where a class has one image, of which no part can be held out."""
    classes, sizes = y.unique(return_counts=True)
    single = classes[sizes < 2].tolist()
    if single:
        raise ValueError(
            f"a fifth of every class is held out, and class{'es' if len(single) > 1 else ''} {single[:10]} "
            f"({len(single)} of {len(classes)}) have one image; give each class two or more training images"
        )
