"""Linear classifiers trained by SGD with many learning rates at once."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.evals.solvers.logistic import softmax_loss
from phis_lab.shapes import Float, Int64

_MOMENTUM = 0.9


_START_STD = 0.01


class LinearClassifiers(NamedTuple):
    """One classifier per learning rate: the logits of x are `weight[i] @ x + bias[i]`."""

    weight: Float[Tensor, "rates classes dim"]
    bias: Float[Tensor, "rates classes"]

    def predict(self, x: Float[Tensor, "n dim"]) -> Int64[Tensor, "rates n"]:
        """The most probable class; -1 from a classifier that diverged."""
        weight = self.weight.flatten(0, 1)
        logits = (weight @ x.to(weight).T).unflatten(0, self.bias.shape) + self.bias[..., None]
        predicted: Tensor = logits.argmax(dim=1)
        return predicted.masked_fill(~logits.isfinite().all(dim=1), -1)

    def accuracies(self, x: Float[Tensor, "n dim"], y: Int64[Tensor, " n"]) -> list[float]:
        """Share of right answers of each classifier; 0 of one that diverged."""
        shares: list[float] = (self.predict(x) == y).double().mean(dim=1).tolist()
        return shares


@torch.no_grad()
def fit_sgd_grid(
    x: Float[Tensor, "n dim"],
    y: Int64[Tensor, " n"],
    rates: Sequence[float],
    *,
    weight_decays: Sequence[float] | None = None,
    epochs: int = 10,
    batch_size: int = 128,
    seed: int = 0,
) -> LinearClassifiers:
    """Trains a linear classifier per learning rate as DINOv2 does, with one matrix product per step for all.

    SGD with momentum 0.9 on the cross entropy of shuffled batches, weights from N(0, 0.01^2),
    biases from 0, each rate falling to 0 along half a cosine. All classifiers start alike and see the same batches,
    so each is, to rounding, the one that its rate would have given alone.

    Args:
        x: features.
        y: classes, 0 to their number - 1.
        rates: learning rates for batches of 256; they are scaled by `batch_size` / 256.
        weight_decays: of weights and biases, one for each rate; None is DINOv2's, which is none.
        epochs: passes over the features.
        batch_size: of a step; images left over at the end of a pass are skipped, and come in other passes.
        seed: of the starting weights and of the shuffling.
    """
    generator = torch.Generator().manual_seed(seed)
    x = x.float()
    classes, batch = int(y.max()) + 1, min(batch_size, len(x))
    start = _START_STD * torch.randn(classes, x.shape[1] + 1, generator=generator)
    start[:, -1] = 0
    parameters = start.to(x.device).expand(len(rates), -1, -1).clone()
    velocity = torch.zeros_like(parameters)
    top = x.new_tensor(rates)[:, None, None] * (batch / 256)
    decay = None if weight_decays is None else x.new_tensor(weight_decays)[:, None, None]
    steps = epochs * (len(x) // batch)
    for step, rows in enumerate(_batches(len(x), batch, epochs, generator)):
        at = rows.to(x.device)
        inputs = torch.cat([x[at], x.new_ones(batch, 1)], dim=1)
        logits = (parameters.flatten(0, 1) @ inputs.T).unflatten(0, parameters.shape[:2])
        residual = softmax_loss(logits, y[at])[1]
        gradient = (residual.flatten(0, 1) @ inputs).view_as(parameters) / batch
        if decay is not None:
            gradient = gradient + decay * parameters
        velocity.mul_(_MOMENTUM).add_(gradient)
        parameters.sub_(top * (0.5 * (1 + math.cos(math.pi * step / steps))) * velocity)
    return LinearClassifiers(parameters[..., :-1], parameters[..., -1])


def _batches(count: int, batch: int, epochs: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        yield from torch.randperm(count, generator=generator)[: count // batch * batch].split(batch)
