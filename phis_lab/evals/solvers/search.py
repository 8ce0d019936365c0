"""Hyperparameters searched by optuna's TPE sampler."""

from collections.abc import Callable, Mapping, Sequence

from phis_lab.evals.extras import require

UNIC_SEED = 22
"""Of the sampler, as UNIC has it."""


Values = Mapping[str, float]


RANDOM_TRIALS = 10
"""TPE draws so many first trials at random; they are scored together."""


def search(
    ranges: Mapping[str, tuple[float, float]],
    score: Callable[[Sequence[Values]], Sequence[float]],
    *,
    trials: int,
    seed: int,
) -> list[tuple[Values, float]]:
    """Returns every trial with its score, in their order.

    Args:
        ranges: smallest and largest value of each hyperparameter, which is sampled on a logarithmic scale.
        score: of several trials at once; higher is better.
        trials: how many there are.
        seed: of the sampler.

    Raises:
        ModuleNotFoundError: optuna is not installed.
    """
    require("optuna", "transfer", "the search for hyperparameters of probes")
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    tried: list[tuple[Values, float]] = []
    while len(tried) < trials:
        together = min(RANDOM_TRIALS, trials) if not tried else 1
        asked = [study.ask() for _ in range(together)]
        values = [
            {name: float(trial.suggest_float(name, *bounds, log=True)) for name, bounds in ranges.items()}
            for trial in asked
        ]
        found = score(values)
        for trial, value in zip(asked, found, strict=True):
            study.tell(trial, value)
        tried.extend(zip(values, found, strict=True))
    return tried
