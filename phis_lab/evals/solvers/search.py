"""How a hyperparameter is chosen: the values that are tried, and the training images that are set aside for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.guards import require
from phis_lab.shapes import Float, Int64

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


class Split(NamedTuple):
    """Positions of images, ascending, that together are all of them."""

    kept: Int64[Tensor, " kept"]
    held: Int64[Tensor, " held"]


def hold_out_of_classes(labels: Int64[Tensor, " n"], share: float = 0.2, seed: int = 0) -> Split:
    """Sets aside a share of every class at random: one image or more, but never the whole of a class.

    A fifth per class is what UNIC chooses its hyperparameters on. A class of one image stays with the kept.

    Args:
        labels: class of each image.
        share: of every class, between 0 and 1.
        seed: of the generator that picks; the same labels and seed give the same split.

    Raises:
        ValueError: no class has two images.
    """
    generator = torch.Generator().manual_seed(seed)
    is_held = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels.cpu() == label).nonzero()[:, 0]
        count = min(max(1, round(share * len(members))), len(members) - 1)
        is_held[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    if not is_held.any():
        raise ValueError(f"nothing can be held out: each of the {len(labels)} training images has a class of its own")
    is_held = is_held.to(labels.device)
    return Split((~is_held).nonzero()[:, 0], is_held.nonzero()[:, 0])


Accuracies = Callable[[Tensor, Tensor, Tensor, Tensor, Sequence[Values]], Sequence[float]]
"""(train_x, train_y, test_x, test_y, hyperparameters) -> test accuracies of classifiers that were fitted with each."""


def choose_held_out(
    x: Float[Tensor, "n dim"], y: Int64[Tensor, " n"], accuracies: Accuracies, search: Search, seed: int = 0
) -> Chosen:
    """Chooses hyperparameters by the accuracy on a held-out fifth of every class, fitted on the rest.

    Args:
        x: frozen features of all training images.
        y: their labels.
        accuracies: fits and tests.
        search: what is tried.
        seed: of the split.

    Raises:
        ValueError: no class has two images.
    """
    kept, held = hold_out_of_classes(y, seed=seed)
    parts = x[kept], y[kept], x[held], y[held]
    return search(lambda tried: accuracies(*parts, tried))


def refuse_single_images(y: Int64[Tensor, " n"]) -> None:
    """Raises ValueError where a class has one image, of which no part can be held out."""
    classes, sizes = y.unique(return_counts=True)
    single = classes[sizes < 2].tolist()
    if single:
        raise ValueError(
            f"a fifth of every class is held out, and class{'es' if len(single) > 1 else ''} {single[:10]} "
            f"({len(single)} of {len(classes)}) have one image; give each class two or more training images"
        )
