"""UNIC's linear probe for large sets: SGD whose learning rate and weight decay are searched."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from phis_lab.bounds import Positive, Seed
from phis_lab.evals.probes.linear import check_probe_data
from phis_lab.evals.score import Embeddings, Probe, Score, When, accuracy_score
from phis_lab.evals.solvers.search import TPE, UNIC_SEED, Values, choose_held_out, refuse_single_images
from phis_lab.evals.solvers.sgd_grid import fit_sgd_grid
from phis_lab.guards import require
from phis_lab.shapes import Float, Int64

_log = logging.getLogger(__name__)

UNIC_SGD = TPE({"rate": (0.1, 100.0), "weight_decay": (1e-12, 1e-4)})
"""The search of UNIC's appendix B for large sets."""

_PER_RATE = 256  # `fit_sgd_grid` takes rates for batches of so many images


class LargeSetResult(NamedTuple):
    """What the search found.

    Attributes:
        accuracy: share of the test images whose class is predicted, in [0, 1].
        held_out_accuracy: the same of the held-out fifth, for the chosen values.
        rate: the chosen learning rate, for a step of `batch_size` images.
        weight_decay: the chosen weight decay.
    """

    accuracy: float
    held_out_accuracy: float
    rate: float
    weight_decay: float


@torch.inference_mode(False)
def large_set_probe(
    train_x: Float[Tensor, "train dim"],
    train_y: Int64[Tensor, " train"],
    test_x: Float[Tensor, "test dim"],
    test_y: Int64[Tensor, " test"],
    *,
    search: TPE = UNIC_SGD,
    epochs: int = 100,
    batch_size: int = 1024,
) -> LargeSetResult:
    """Searches learning rate and weight decay on a held-out fifth of every class, trains on all, tests once.

    Features are divided by their length. A linear classifier is trained by SGD with momentum 0.9, the rate falling to
    0 along half a cosine. Both hyperparameters are sampled on a logarithmic scale by optuna's TPE; test images play no
    part in the choice. A pair whose training diverged counts as accuracy 0.

    Args:
        train_x: frozen features.
        train_y: their labels, any integers.
        test_x: features of the test images.
        test_y: their labels.
        search: for `rate` and `weight_decay`; its seed is also that of the split, the starting weights and the
            shuffling.
        epochs: passes over the training images.
        batch_size: of a step.

    Raises:
        ModuleNotFoundError: optuna is not installed.
        ValueError: a class of one image; and as `linear_probe_path`.

    Source:
        UNIC (arXiv 2408.05088), appendix B, for ImageNet-1k, ImageNet-CoG and iNaturalist.
    """
    check_probe_data(train_x, train_y, test_x, test_y)
    refuse_single_images(train_y)

    def accuracies(x: Tensor, y: Tensor, other_x: Tensor, other_y: Tensor, tried: Sequence[Values]) -> list[float]:
        classes, position = y.unique(return_inverse=True)
        per_rate = _PER_RATE / min(batch_size, len(x))
        fitted = fit_sgd_grid(
            x,
            position,
            [values["rate"] * per_rate for values in tried],
            weight_decays=[values["weight_decay"] for values in tried],
            epochs=epochs,
            batch_size=batch_size,
            seed=search.seed,
        )
        return fitted.accuracies(other_x, torch.searchsorted(classes, other_y))

    train, test = (normalize(x.float(), dim=1) for x in (train_x, test_x))
    values, held_out_accuracy, _ = choose_held_out(train, train_y, accuracies, search, search.seed)
    (accuracy,) = accuracies(train, train_y, test, test_y, [values])
    return LargeSetResult(accuracy, held_out_accuracy, values["rate"], values["weight_decay"])


class LargeSetProbe(Probe):
    """Top-1 accuracy of UNIC's probe for large sets: SGD on features of length 1 (see `large_set_probe`).

    Args:
        trials: pairs of learning rate and weight decay that are tried, each trained on four fifths of every class.
        epochs: passes over the training images.
        batch_size: of a step.
        seed: of the search, the split, the starting weights and the shuffling.
        when: during training too, or only at the end.

    Raises:
        ModuleNotFoundError: optuna is not installed.
    """

    def __init__(
        self,
        trials: Positive = 40,
        epochs: Positive = 100,
        batch_size: Positive = 1024,
        seed: Seed = UNIC_SEED,
        when: When = "end",
    ) -> None:
        require("optuna", "transfer", "the search for hyperparameters of probes")
        self.when = when
        search = TPE(UNIC_SGD.ranges, trials, seed)
        self.probe = partial(large_set_probe, search=search, epochs=epochs, batch_size=batch_size)

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, Score]:
        """Top-1 accuracy on the test images."""
        result = self.probe(*train, *test)
        _log.info("the probe for large sets chose the rate %.3g and the decay %.3g", result.rate, result.weight_decay)
        return {"accuracy": accuracy_score(result.accuracy, test.labels)}
