"""UNIC's linear probe for large sets: SGD whose learning rate and weight decay are searched."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from phis_lab.bounds import Positive, Seed
from phis_lab.evals.extras import require
from phis_lab.evals.probes.base import Embeddings, Probe, When
from phis_lab.evals.probes.held_out import hold_out, refuse_single_images
from phis_lab.evals.probes.linear import check_probe_data
from phis_lab.evals.score import Score, accuracy_score
from phis_lab.evals.solvers.search import UNIC_SEED, Values, search
from phis_lab.evals.solvers.sgd_grid import fit_sgd_grid
from phis_lab.shapes import Float, Int64

_log = logging.getLogger(__name__)

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
    trials: int = 40,
    rate_range: tuple[float, float] = (0.1, 100.0),
    decay_range: tuple[float, float] = (1e-12, 1e-4),
    epochs: int = 100,
    batch_size: int = 1024,
    seed: int = UNIC_SEED,
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
        trials: pairs of values that are tried.
        rate_range: smallest and largest learning rate.
        decay_range: smallest and largest weight decay.
        epochs: passes over the training images.
        batch_size: of a step.
        seed: of the sampler, the split, the starting weights and the shuffling.

    Raises:
        ModuleNotFoundError: optuna is not installed.
        ValueError: a class of one image; and as `linear_probe_path`.

    Source:
        UNIC (arXiv 2408.05088), appendix B, for ImageNet-1k, ImageNet-CoG and iNaturalist.
    """
    check_probe_data(train_x, train_y, test_x, test_y)
    refuse_single_images(train_y)
    classes, train_class = train_y.unique(return_inverse=True)
    test_class = torch.searchsorted(classes, test_y)
    train, test = (normalize(x.float(), dim=1) for x in (train_x, test_x))
    kept, held = hold_out(train_y, seed=seed)

    def accuracies(tried: Sequence[Values], rows: Tensor | slice, x: Tensor, y: Tensor) -> list[float]:
        fit_x, fit_y = train[rows], train_class[rows]
        per_rate = _PER_RATE / min(batch_size, len(fit_x))
        fitted = fit_sgd_grid(
            fit_x,
            fit_y,
            [values["rate"] * per_rate for values in tried],
            weight_decays=[values["weight_decay"] for values in tried],
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
        )
        return (fitted.predict(x) == y).double().mean(dim=1).tolist()

    tried = search(
        {"rate": rate_range, "weight_decay": decay_range},
        lambda together: accuracies(together, kept, train[held], train_class[held]),
        trials=trials,
        seed=seed,
    )
    chosen, held_out_accuracy = max(tried, key=lambda pair: (pair[1], -pair[0]["rate"]))
    (accuracy,) = accuracies([chosen], slice(None), test, test_class)
    return LargeSetResult(accuracy, held_out_accuracy, chosen["rate"], chosen["weight_decay"])


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
        self.trials, self.epochs, self.batch_size = trials, epochs, batch_size
        self.seed, self.when = seed, when

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, Score]:
        """Top-1 accuracy on the test images."""
        result = large_set_probe(
            *train, *test, trials=self.trials, epochs=self.epochs, batch_size=self.batch_size, seed=self.seed
        )
        _log.info("the probe for large sets chose the rate %.3g and the decay %.3g", result.rate, result.weight_decay)
        return {"accuracy": accuracy_score(result.accuracy, test.labels)}
