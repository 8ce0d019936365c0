"""The strength of an L2 penalty, searched by optuna on a held-out fifth of every class."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from phis_lab.evals.extras import require
from phis_lab.evals.held_out import hold_out
from phis_lab.evals.linear_probe import linear_probe_path
from phis_lab.shapes import Float, Int64

UNIC_SEED = 22
"""Of the sampler, as UNIC has it."""

_RANDOM_TRIALS = 10


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
    _check_classes(y)
    split = hold_out(y, seed=seed)
    parts = [part[rows] for rows in split for part in (x, y)]
    study = _study(seed)
    tried: list[tuple[float, float]] = []
    while len(tried) < trials:
        together = min(_RANDOM_TRIALS, trials) if not tried else 1
        asked = [study.ask() for _ in range(together)]
        cs = [float(trial.suggest_float("c", *c_range, log=True)) for trial in asked]
        found = _accuracies(parts, cs, max_iterations)
        for trial, accuracy in zip(asked, found, strict=True):
            study.tell(trial, accuracy)
        tried.extend(zip(cs, found, strict=True))
    c, accuracy = max(tried, key=lambda pair: (pair[1], -pair[0]))
    return ChosenPenalty(c, accuracy, tried)


def _accuracies(parts: Sequence[Tensor], cs: Sequence[float], max_iterations: int) -> list[float]:
    train_x, train_y, held_x, held_y = parts
    path = linear_probe_path(train_x, train_y, held_x, held_y, cs=cs, standardize=False, max_iterations=max_iterations)
    return [result.accuracy for result in path]


def _check_classes(y: Tensor) -> None:
    classes, sizes = y.unique(return_counts=True)
    single = classes[sizes < 2].tolist()
    if single:
        raise ValueError(
            f"a fifth of every class is held out, and class{'es' if len(single) > 1 else ''} {single[:10]} "
            f"({len(single)} of {len(classes)}) have one image; give each class two or more training images"
        )


def _study(seed: int) -> Any:
    require("optuna", "transfer", "the search for C")
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM_TRIALS)
    return optuna.create_study(direction="maximize", sampler=sampler)
