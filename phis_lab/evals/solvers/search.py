"""What is tried for the hyperparameters of a classifier, and which of it is chosen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from phis_lab.evals.extras import require

UNIC_SEED = 22
"""Of the sampler, as UNIC has it."""


Values = Mapping[str, float]
"""Hyperparameters by name."""


Judge = Callable[[Sequence[Values]], Sequence[float]]
"""Scores of several values at once; higher is better."""


RANDOM_TRIALS = 10
"""TPE draws so many first trials at random; they are scored together."""


class Chosen(NamedTuple):
    """What a search found.

    Attributes:
        values: the best; of equals those whose first value is the smallest.
        score: theirs.
        tried: all that were tried with their scores, in their order.
    """

    values: Values
    score: float
    tried: list[tuple[Values, float]]


Search = Callable[[Judge], Chosen]
"""Tries values, and chooses among them."""


@dataclass(frozen=True)
class Grid:
    """Tries given values of one hyperparameter, all together.

    Args:
        name: of the hyperparameter.
        values: one or more.
    """

    name: str
    values: Sequence[float]

    def __call__(self, judge: Judge) -> Chosen:
        """The best of them."""
        asked = [{self.name: value} for value in self.values]
        return _chosen(list(zip(asked, judge(asked), strict=True)))


@dataclass(frozen=True)
class TPE:
    """Tries what optuna's TPE sampler draws on a logarithmic scale.

    Args:
        ranges: smallest and largest value of each hyperparameter.
        trials: how many are tried.
        seed: of the sampler.

    Raises:
        ModuleNotFoundError: when called, optuna is not installed.
    """

    ranges: Mapping[str, tuple[float, float]]
    trials: int = 40
    seed: int = UNIC_SEED

    def __call__(self, judge: Judge) -> Chosen:
        """The best of them."""
        require("optuna", "transfer", "the search for hyperparameters of probes")
        import optuna  # noqa: PLC0415

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self.seed, n_startup_trials=RANDOM_TRIALS)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        tried: list[tuple[Values, float]] = []
        while len(tried) < self.trials:
            asked = [study.ask() for _ in range(1 if tried else min(RANDOM_TRIALS, self.trials))]
            values = [
                {name: float(trial.suggest_float(name, *bounds, log=True)) for name, bounds in self.ranges.items()}
                for trial in asked
            ]
            found = judge(values)
            for trial, value in zip(asked, found, strict=True):
                study.tell(trial, value)
            tried.extend(zip(values, found, strict=True))
        return _chosen(tried)


def _chosen(tried: list[tuple[Values, float]]) -> Chosen:
    values, score = max(tried, key=lambda pair: (pair[1], -next(iter(pair[0].values()))))
    return Chosen(values, score, tried)
