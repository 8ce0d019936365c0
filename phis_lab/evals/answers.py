"""The two classifiers that stand for a feature space: nearest neighbours and a linear probe."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from phis_lab.evals.probes.knn import knn_predict
from phis_lab.evals.probes.linear import check_probe_data
from phis_lab.evals.score import Embeddings, Score, accuracy_score
from phis_lab.evals.solvers.logistic import fit_logistic
from phis_lab.shapes import Float, Float64, Int64


class LinearClassifier(NamedTuple):
    """Multinomial logistic regression on features as they come.

    Attributes:
        classes: labels in the order of the logits.
        weight: of every class.
        bias: of every class.
    """

    classes: Int64[Tensor, " classes"]
    weight: Float64[Tensor, "classes dim"]
    bias: Float64[Tensor, " classes"]

    def logits(self, x: Float[Tensor, "n dim"]) -> Float64[Tensor, "n classes"]:
        """Unnormalised log-probabilities."""
        return x.double() @ self.weight.T + self.bias

    def predict(self, x: Float[Tensor, "n dim"]) -> Int64[Tensor, " n"]:
        """Labels of the largest logit."""
        return self.classes[self.logits(x).argmax(dim=1)]

    def among(self, labels: Int64[Tensor, " some"]) -> "LinearClassifier":
        """The same classifier with no other answers than `labels`."""
        kept = torch.isin(self.classes, labels)
        return LinearClassifier(self.classes[kept], self.weight[kept], self.bias[kept])


@torch.inference_mode(False)
def fit_linear_classifier(
    x: Float[Tensor, "n dim"], y: Int64[Tensor, " n"], c: float = 1.0, max_iterations: int = 5000
) -> LinearClassifier:
    """The classifier of `linear_probe` on standardised channels, with the standardisation folded in.

    Args:
        x: frozen features.
        y: their labels, any integers.
        c: inverse strength of the penalty, as scikit-learn's C.
        max_iterations: limit of L-BFGS.

    Raises:
        ValueError: NaN in the features, one class only, or sizes that do not agree.
    """
    check_probe_data(x, y, x, y)
    classes, position = y.unique(return_inverse=True)
    features = x.double()
    std, mean = torch.std_mean(features, dim=0, correction=0)
    scale = std.where(std > 1e-12 * mean.abs(), 1.0)
    fit = fit_logistic((features - mean) / scale, position, [c], max_iterations=max_iterations)
    weight = fit.weight[0] / scale
    return LinearClassifier(classes, weight, fit.bias[0] - weight @ mean)


Classifier = Literal["knn", "linear"]


CLASSIFIERS: tuple[Classifier, ...] = ("knn", "linear")


def check_neighbours(k: int, train_images: int) -> None:
    """Raises ValueError for fewer training images than neighbours that vote."""
    if train_images < k:
        raise ValueError(f"{k} neighbours need as many training images; train_images is {train_images}")


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


def accuracies(answers: Mapping[Classifier, Int64[Tensor, " n"]], labels: Int64[Tensor, " n"]) -> dict[str, Score]:
    """`<classifier>_accuracy`: share of images whose answer is the label."""
    return {f"{name}_accuracy": accuracy_score(same_share(answer, labels), labels) for name, answer in answers.items()}
