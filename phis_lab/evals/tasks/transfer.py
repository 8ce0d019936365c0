"""Transfer of frozen features to other classified sets."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from torch import Tensor

from phis_lab.bounds import Above, Positive, Seed
from phis_lab.data import DataSource
from phis_lab.data.transforms import Interpolation
from phis_lab.evals.embedding import embed_source
from phis_lab.evals.probes.large_set import UNIC_SGD, large_set_probe
from phis_lab.evals.probes.linear import linear_probe, logistic_accuracies
from phis_lab.evals.score import Embeddings, Score, accuracy_score, mean_score, with_headlines
from phis_lab.evals.solvers.search import TPE, UNIC_SEED, Chosen, choose_held_out, refuse_single_images
from phis_lab.evals.subject import Subject, Task
from phis_lab.features import Tokens
from phis_lab.guards import require
from phis_lab.shapes import Float, Int64

_log = logging.getLogger(__name__)

_MEAN = "mean"

UNIC_PENALTY = TPE({"c": (1e-5, 1e6)})
"""The search of UNIC's appendix B for small sets."""


def search_penalty(
    x: Float[Tensor, "n dim"],
    y: Int64[Tensor, " n"],
    *,
    search: TPE = UNIC_PENALTY,
    max_iterations: int = 2000,
) -> Chosen:
    """Chooses C by the accuracy on a held-out fifth of every class, with optuna's TPE sampler over log C.

    UNIC, appendix B: 40 trials, C log-uniform in [1e-5, 1e6], features as they are. Of equally accurate values the
    smallest is taken. TPE draws its first ten trials at random, so these are solved together.

    Args:
        x: frozen features of all training images.
        y: their labels.
        search: for `c`, in scikit-learn's units; its seed is also that of the split.
        max_iterations: limit of L-BFGS for each C.

    Raises:
        ModuleNotFoundError: optuna is not installed.
        ValueError: a class of one image, which cannot be split; and as `linear_probe_path`.
    """
    refuse_single_images(y)
    return choose_held_out(x, y, logistic_accuracies(False, max_iterations), search, search.seed)


class TransferResult(NamedTuple):
    """Accuracies as shares of the images, and the C that was chosen."""

    accuracy: float
    held_out_accuracy: float
    c: float
    converged: bool


def transfer_probe(
    train_x: Float[Tensor, "train dim"],
    train_y: Int64[Tensor, " train"],
    test_x: Float[Tensor, "test dim"],
    test_y: Int64[Tensor, " test"],
    *,
    search: TPE = UNIC_PENALTY,
    max_iterations: int = 2000,
) -> TransferResult:
    """L2-regularised logistic regression with C from `search_penalty`, fitted again on all images and tested once.

    UNIC, appendix B, for its small sets: features are not normalised. Test images play no part in the choice.

    Raises:
        ModuleNotFoundError: optuna is not installed.
        ValueError: as `search_penalty` and `linear_probe_path`.
    """
    values, held_out_accuracy, _ = search_penalty(train_x, train_y, search=search, max_iterations=max_iterations)
    data = train_x, train_y, test_x, test_y
    final = linear_probe(*data, c=values["c"], standardize=False, max_iterations=max_iterations)
    return TransferResult(final.accuracy, held_out_accuracy, values["c"], final.converged)


class Transfer(Task):
    """Top-1 accuracy on every set, and the mean over the sets.

    Sets of fewer than `large_from` training images are judged by `transfer_probe`, the others by `large_set_probe`.

    Args:
        sets: by name; each with training and test images. A set's own `train_images` limits it.
        tokens: the summary token, the mean of the spatial tokens, or both joined.
        trials: values of C, or of learning rate and weight decay, that are tried.
        c_range: smallest and largest C.
        max_iterations: limit of L-BFGS for each C.
        large_from: training images from which on a set is large.
        interpolation: filter of the central views (see `central_view`); UNIC's is bicubic.
        batch_size: images of one forward pass.
        seed: of the sampler and of the split.

    Raises:
        ModuleNotFoundError: optuna is not installed.
        ValueError: no sets, one named `mean`, or a range that does not go up.
    """

    needs_labels = False

    def __init__(
        self,
        sets: Mapping[str, DataSource],
        tokens: Tokens = "summary",
        trials: Positive = 40,
        c_range: tuple[Above, Above] = (1e-5, 1e6),
        max_iterations: Positive = 2000,
        batch_size: Positive = 64,
        seed: Seed = UNIC_SEED,
        large_from: Positive = 100_000,
        interpolation: Interpolation = "bicubic",
    ) -> None:
        require("optuna", "transfer", "the search for hyperparameters of probes")
        if not sets or _MEAN in sets:
            raise ValueError(f"transfer needs one set or more, none of them named {_MEAN}, got {list(sets)}")
        if not c_range[0] < c_range[1]:
            raise ValueError(f"c_range goes from the smallest to the largest C, got {c_range}")
        self.sets, self.tokens, self.batch_size = dict(sets), tokens, batch_size
        self.small_probe = partial(
            transfer_probe, search=TPE({"c": c_range}, trials, seed), max_iterations=max_iterations
        )
        self.large_probe = partial(large_set_probe, search=TPE(UNIC_SGD.ranges, trials, seed))
        self.large_from = large_from
        self.interpolation: Interpolation = interpolation

    def __call__(self, subject: Subject) -> dict[str, Score]:
        """Top-1 accuracy by set, and their `mean`, which is the headline."""
        accuracies = {name: self._accuracy(subject, name, data) for name, data in self.sets.items()}
        return with_headlines({**accuracies, _MEAN: mean_score(accuracies.values())}, {_MEAN})

    def _accuracy(self, subject: Subject, name: str, data: DataSource) -> Score:
        try:
            if data.lacks_test is not None:
                raise ValueError(f"a set needs test images, and there are none: {data.lacks_test}")
            train, test = (
                embed_source(subject, half, self.tokens, self.batch_size, self.interpolation)
                for half in (data.train, data.test)
            )
            probe = self._large if len(train.labels) >= self.large_from else self._small
            return accuracy_score(probe(name, train, test), test.labels)
        except ValueError as error:
            raise ValueError(f"transfer to {name}: {error}") from error

    def _small(self, name: str, train: Embeddings, test: Embeddings) -> float:
        result = self.small_probe(*train, *test)
        _log.info("transfer to %s: %.4f with C = %.3g (%.4f held out)", name, *result[:1], result.c, result[1])
        if not result.converged:
            _log.warning("transfer to %s: the final fit did not converge; raise max_iterations", name)
        return result.accuracy

    def _large(self, name: str, train: Embeddings, test: Embeddings) -> float:
        result = self.large_probe(*train, *test)
        chosen = f"rate {result.rate:.3g}, weight decay {result.weight_decay:.3g}"
        _log.info("transfer to %s: %.4f with %s (%.4f held out)", name, result.accuracy, chosen, result[1])
        return result.accuracy
