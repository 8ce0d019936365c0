"""A fitted linear probe that gives logits, for evaluations that ask it more than one question."""

from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.evals.linear_probe import check_probe_data
from phis_lab.evals.logistic import fit_logistic
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
