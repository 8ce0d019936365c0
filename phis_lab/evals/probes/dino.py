"""DINOv2's linear probe: a grid of learning rates, the best of which is reported."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import MinLen
from torch import Tensor

from phis_lab.bounds import Above, Positive, Seed
from phis_lab.evals.probes.linear import check_probe_data
from phis_lab.evals.score import Embeddings, Probe, Score, When, accuracy_score
from phis_lab.evals.solvers.search import Grid, Values, choose_held_out
from phis_lab.evals.solvers.sgd_grid import LinearClassifiers, fit_sgd_grid
from phis_lab.shapes import Float, Int64

_log = logging.getLogger(__name__)

DINOV2_RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
"""Learning rates of DINOv2's linear evaluation, for batches of 256."""


ChosenOn = Literal["held_out", "test"]


class DinoProbeResult(NamedTuple):
    """What the grid found.

    Attributes:
        accuracy: share of the test images whose class the chosen classifier predicts, in [0, 1].
        rate: the chosen learning rate, before the scaling by the batch.
        choice_accuracies: of every rate, on the images that it was chosen on; 0 where training diverged.
    """

    accuracy: float
    rate: float
    choice_accuracies: list[float]


@torch.inference_mode(False)
def dino_linear_probe(
    train_x: Float[Tensor, "train dim"],
    train_y: Int64[Tensor, " train"],
    test_x: Float[Tensor, "test dim"],
    test_y: Int64[Tensor, " test"],
    *,
    rates: Sequence[float] = DINOV2_RATES,
    epochs: int = 10,
    batch_size: int = 128,
    choose_on: ChosenOn = "held_out",
    seed: int = 0,
) -> DinoProbeResult:
    """Trains a classifier per learning rate by `fit_sgd_grid`, chooses the rate, and returns its test accuracy.

    `held_out` trains on four fifths of every class, chooses on the last fifth, and trains again on all images with
    the chosen rate alone. `test` trains on all and reports the best test accuracy, as DINOv2 does: its number is
    too high, for the test images chose it. DINOv2 also augments its images and tries the last 1 or 4 blocks with
    and without average pooling; here the features are given. On a tie the smallest rate is taken.

    Args:
        train_x: frozen features.
        train_y: their labels, any integers.
        test_x: features of the test images.
        test_y: their labels.
        rates: learning rates for batches of 256.
        epochs: passes over the training images; DINOv2 takes 10 over ImageNet.
        batch_size: of a step; the rates are scaled by `batch_size` / 256.
        choose_on: images that the learning rate is chosen on.
        seed: of the split, the starting weights and the shuffling.

    Raises:
        ValueError: as `linear_probe_path`; no rate given, or one not positive; all rates diverged.
    """
    if not rates or not all(0 < rate < float("inf") for rate in rates):
        raise ValueError(f"rates must hold one or more positive, finite numbers, got {list(rates)}")
    check_probe_data(train_x, train_y, test_x, test_y)

    def accuracies(x: Tensor, y: Tensor, other_x: Tensor, other_y: Tensor, tried: Sequence[Values]) -> list[float]:
        classes, position = y.unique(return_inverse=True)
        of_tried = [values["rate"] for values in tried]
        fitted = fit_sgd_grid(x, position, of_tried, epochs=epochs, batch_size=batch_size, seed=seed)
        return _finite(fitted).accuracies(other_x, torch.searchsorted(classes, other_y))

    grid = Grid("rate", sorted(rates))
    if choose_on == "test":
        chosen = grid(lambda tried: accuracies(train_x, train_y, test_x, test_y, tried))
        accuracy = chosen.score
    else:
        chosen = choose_held_out(train_x, train_y, accuracies, grid, seed)
        (accuracy,) = accuracies(train_x, train_y, test_x, test_y, [chosen.values])
    return DinoProbeResult(accuracy, chosen.values["rate"], [score for _, score in chosen.tried])


def _finite(classifiers: LinearClassifiers) -> LinearClassifiers:
    if not classifiers.weight.isfinite().flatten(1).all(dim=1).any():
        raise ValueError("every learning rate diverged; give smaller rates or bring the features to unit scale")
    return classifiers


class DinoProbe(Probe):
    """Top-1 accuracy of DINOv2's linear evaluation: SGD with a grid of learning rates (see `dino_linear_probe`).

    Args:
        rates: learning rates for batches of 256, trained together; DINOv2's 13 by default.
        epochs: passes over the training images.
        batch_size: of a step.
        choose_on: `held_out`, a fifth of every class of the training images; or `test`, as DINOv2, whose accuracy
            is then too high.
        seed: of the split, the starting weights and the shuffling.
        when: during training too, or only at the end.
    """

    def __init__(
        self,
        rates: Annotated[Sequence[Above], MinLen(1)] = DINOV2_RATES,
        epochs: Positive = 10,
        batch_size: Positive = 128,
        choose_on: ChosenOn = "held_out",
        seed: Seed = 0,
        when: When = "end",
    ) -> None:
        self.when = when
        self.probe = partial(
            dino_linear_probe, rates=rates, epochs=epochs, batch_size=batch_size, choose_on=choose_on, seed=seed
        )

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, Score]:
        """Top-1 accuracy on the test images."""
        result = self.probe(*train, *test)
        _log.info("the DINOv2 probe chose the learning rate %g of %d", result.rate, len(result.choice_accuracies))
        return {"accuracy": accuracy_score(result.accuracy, test.labels)}
