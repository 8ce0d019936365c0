"""Evaluations of frozen student features as options: a named protocol around one pure function each."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from torch import Tensor

from phis_lab.bounds import Above, Positive, Seed
from phis_lab.evals.dino_probe import DINOV2_RATES, dino_linear_probe
from phis_lab.evals.extras import require
from phis_lab.evals.floors import Score, constant_answer
from phis_lab.evals.held_out import hold_out
from phis_lab.evals.knn import knn_predict
from phis_lab.evals.large_set_probe import large_set_probe
from phis_lab.evals.linear_probe import linear_probe, linear_probe_path
from phis_lab.evals.penalty_search import UNIC_SEED
from phis_lab.shapes import Float, Int64

_log = logging.getLogger(__name__)

When = Literal["always", "end"]


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
    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, float]:
        """Shares between 0 and 1 by name, higher being better; as `Score` where the floor is known."""


class KNN(Probe):
    """Weighted k-nearest-neighbour top-1 accuracy (see `knn_predict` for the protocols).

    Args:
        k: neighbours.
        temperature: of the similarity weights.
        protocol: `radio` weighs by exp(s / T), `dino` by a softmax over the k.
        when: during training too, or only at the end.
    """

    def __init__(
        self,
        k: Positive = 20,
        temperature: Above = 0.07,
        protocol: Literal["radio", "dino"] = "radio",
        when: When = "always",
    ) -> None:
        self.k, self.temperature, self.when = k, temperature, when
        self.minimum_images = k
        self.protocol: Literal["radio", "dino"] = protocol

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, float]:
        """Top-1 accuracy on the test images."""
        predicted = knn_predict(*train, test.features, self.k, self.temperature, self.protocol)
        accuracy = (predicted == test.labels).double().mean().item()
        return {"accuracy": Score(accuracy, constant_answer(test.labels))}


class LinearProbe(Probe):
    """Top-1 accuracy of multinomial logistic regression on frozen features (see `linear_probe_path`).

    Args:
        c: inverse strength of the L2 penalty, as in scikit-learn; or several, all fitted at once on four fifths of
            every class: the best on the last fifth (of equals the smallest) is fitted again on all, then tested.
        max_iterations: limit of L-BFGS; a probe that reaches it unconverged says so in the log.
        when: during training too, or only at the end.
    """

    def __init__(
        self,
        c: Above | Annotated[Sequence[Above], Field(min_length=1)] = 1.0,
        max_iterations: Positive = 5000,
        when: When = "end",
    ) -> None:
        self.cs = sorted(c) if isinstance(c, Sequence) else [c]
        self.max_iterations, self.when = max_iterations, when

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, float]:
        """Top-1 accuracy on the test images."""
        c = self.cs[0] if len(self.cs) == 1 else self._chosen(train)
        result = linear_probe(*train, *test, c=c, max_iterations=self.max_iterations)
        if not result.converged:
            _log.warning(
                "the linear probe did not converge: objective %.6g after %d iterations; raise max_iterations",
                result.objective,
                result.iterations,
            )
        return {"accuracy": Score(result.accuracy, constant_answer(test.labels))}

    def _chosen(self, train: Embeddings) -> float:
        kept, held = hold_out(train.labels)
        parts = (part[rows] for rows in (kept, held) for part in train)
        results = linear_probe_path(*parts, cs=self.cs, max_iterations=self.max_iterations)
        best = max(range(len(results)), key=lambda i: results[i].accuracy)
        _log.info(
            "the linear probe chose c = %g of %g to %g: %.4f on the held-out fifth",
            self.cs[best],
            self.cs[0],
            self.cs[-1],
            results[best].accuracy,
        )
        return self.cs[best]


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
        rates: Annotated[Sequence[Above], Field(min_length=1)] = DINOV2_RATES,
        epochs: Positive = 10,
        batch_size: Positive = 128,
        choose_on: Literal["held_out", "test"] = "held_out",
        seed: Seed = 0,
        when: When = "end",
    ) -> None:
        self.rates, self.epochs, self.batch_size = list(rates), epochs, batch_size
        self.choose_on: Literal["held_out", "test"] = choose_on
        self.seed, self.when = seed, when

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, float]:
        """Top-1 accuracy on the test images."""
        result = dino_linear_probe(
            *train,
            *test,
            rates=self.rates,
            epochs=self.epochs,
            batch_size=self.batch_size,
            choose_on=self.choose_on,
            seed=self.seed,
        )
        _log.info("the DINOv2 probe chose the learning rate %g of %d", result.rate, len(self.rates))
        return {"accuracy": Score(result.accuracy, constant_answer(test.labels))}


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

    def __call__(self, train: Embeddings, test: Embeddings) -> dict[str, float]:
        """Top-1 accuracy on the test images."""
        result = large_set_probe(
            *train, *test, trials=self.trials, epochs=self.epochs, batch_size=self.batch_size, seed=self.seed
        )
        _log.info("the probe for large sets chose the rate %.3g and the decay %.3g", result.rate, result.weight_decay)
        return {"accuracy": Score(result.accuracy, constant_answer(test.labels))}
