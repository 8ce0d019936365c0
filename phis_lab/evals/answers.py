"""The two classifiers that stand for a feature space: nearest neighbours and a linear probe."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from phis_lab.evals.knn import knn_predict
from phis_lab.evals.linear_classifier import fit_linear_classifier
from phis_lab.evals.probes import Embeddings
from phis_lab.shapes import Float, Int64

Classifier = Literal["knn", "linear"]
CLASSIFIERS: tuple[Classifier, ...] = ("knn", "linear")


class Answers:
    """Both classifiers, fitted on labelled features of one space.

    Args:
        train: what they are fitted on.
        k: neighbours that vote, by RADIO's protocol.
        c: inverse strength of the probe's penalty, as scikit-learn's C.

    Raises:
        ValueError: fewer images than `k`, one class only, or NaN in the features.
    """

    def __init__(self, train: Embeddings, k: int, c: float) -> None:
        if len(train.labels) < k:
            raise ValueError(f"{k} neighbours need as many training images, got {len(train.labels)}")
        self.train, self.k = train, k
        self.probe = fit_linear_classifier(train.features, train.labels, c)

    def __call__(
        self, x: Float[Tensor, "n d"], among: Int64[Tensor, " some"] | None = None
    ) -> dict[Classifier, Int64[Tensor, " n"]]:
        """Predicted labels of each classifier.

        Args:
            x: features of the same space.
            among: the only labels that can be the answer; None for all.
        """
        train, probe = self.train, self.probe
        if among is not None:
            rows = (train.labels[:, None] == among.to(train.labels.device)).any(dim=1)
            train, probe = Embeddings(train.features[rows], train.labels[rows]), probe.among(among)
        return {"knn": knn_predict(*train, x, self.k), "linear": probe.predict(x)}


def same_share(one: Int64[Tensor, " n"], other: Int64[Tensor, " n"]) -> float:
    """Share of images with the same class in both."""
    return (one == other).double().mean().item()


def accuracies(answers: Mapping[Classifier, Int64[Tensor, " n"]], labels: Int64[Tensor, " n"]) -> dict[str, float]:
    """`<classifier>_accuracy`: share of images whose answer is the label."""
    return {f"{name}_accuracy": same_share(answer, labels) for name, answer in answers.items()}
