"""Logistic regression for eight values of C at once against loops over C, on features of handwritten digits.

The features are a random convolutional network's, of scikit-learn's digits that are turned, moved, scaled and made
noisy: their spectrum falls by four to five orders of magnitude as those of trained networks do, which Gaussian noise
does not. Each peer gets, per C, the loosest tolerance at which it reaches the optimum.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, cross_entropy, grid_sample

from benchmarks.harness import Comparison, in_turns
from phis_lab.evals import fit_logistic, linear_probe_path

TRAIN, TEST = 2000, 5000
CS = [float(c) for c in np.logspace(-4, 0, 8)]
TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
STEPS = 20_000


class Data(NamedTuple):
    """Standardised features in float64 and their classes."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


class Fit(NamedTuple):
    """A classifier."""

    weight: Tensor
    bias: Tensor


Solver = Callable[[Data, float, float], Fit]


def run() -> Iterator[Comparison]:
    """Compare with scikit-learn at two widths, and with torch's own L-BFGS."""
    yield _row(192, "scikit-learn's loop over C", _scikit_learn, "at most 1/3")
    yield _row(768, "scikit-learn's loop over C", _scikit_learn, "at most 1/3")
    yield _row(192, "`torch.optim.LBFGS`'s loop over C", _torch_lbfgs, "at most 1/3", CS[::4])


def _row(dim: int, name: str, solver: Solver, target: str, cs: list[float] = CS) -> Comparison:
    data = _digits(dim)
    ours = linear_probe_path(*data, cs=cs, standardize=False)
    tolerances, gaps, points = [], [], []
    for c, result in zip(cs, ours, strict=True):
        tolerance, peer = _loosest(solver, data, c, result.objective)
        accuracy = ((data.test_x @ peer.weight.T + peer.bias).argmax(dim=1) == data.test_y).double().mean().item()
        tolerances.append(tolerance)
        gaps.append(result.objective / _objective(data, peer, c) - 1)
        points.append(100 * abs(result.accuracy - accuracy))
    assert max(gaps) <= 1e-6, gaps
    assert max(points) <= 0.1 + 1e-9, points
    check = f"objective at most {max(0.0, *gaps):.0e} above the peer's, accuracy within {max(points):.2f} points"
    row = Comparison(
        "linear probe", f"`linear_probe_path`, {len(cs)} values of C, {TRAIN} x {dim}", name, target, check
    )
    in_turns(
        row,
        lambda: linear_probe_path(*data, cs=cs, standardize=False),
        lambda: [solver(data, c, tolerance) for c, tolerance in zip(cs, tolerances, strict=True)],
    )
    products = _products_alone(data, cs)
    row.limit = f"its float32 products alone {products:.2f} s: {min(s for s, _ in row.seconds) / products:.1f} of it"
    return row


def _loosest(solver: Solver, data: Data, c: float, best: float) -> tuple[float, Fit]:
    """The loosest tolerance at which a peer comes within 1e-6 of the objective, else the strictest, and its fit."""
    for tolerance in TOLERANCES:
        fit = solver(data, c, tolerance)
        if _objective(data, fit, c) <= best * (1 + 1e-6):
            break
    return tolerance, fit


def _objective(data: Data, fit: Fit, c: float) -> float:
    logits = data.train_x @ fit.weight.T + fit.bias
    penalty = fit.weight.square().sum() / (2 * c * len(data.train_x))
    return (cross_entropy(logits, data.train_y) + penalty).item()


def _scikit_learn(data: Data, c: float, tolerance: float) -> Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=c, tol=tolerance, max_iter=STEPS).fit(data.train_x.numpy(), data.train_y.numpy())
    return Fit(torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_))


def _torch_lbfgs(data: Data, c: float, tolerance: float) -> Fit:
    x, y = data.train_x, data.train_y
    weight = x.new_zeros(10, x.shape[1], requires_grad=True)
    bias = x.new_zeros(10, requires_grad=True)
    options = {"tolerance_grad": tolerance, "tolerance_change": 0, "history_size": 10, "max_iter": STEPS}
    optimizer = torch.optim.LBFGS([weight, bias], max_eval=2 * STEPS, line_search_fn="strong_wolfe", **options)

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = cross_entropy(x @ weight.T + bias, y) + weight.square().sum() / (2 * c * len(x))
        value.backward()
        return value

    optimizer.step(objective)
    return Fit(weight.detach(), bias.detach())


def _products_alone(data: Data, cs: list[float]) -> float:
    """Seconds of the two matrix products per step and C that L-BFGS cannot do without."""
    steps = fit_logistic(data.train_x, data.train_y, cs).iterations.sum().item() / len(cs)
    x = data.train_x.float()
    rows = torch.randn(10 * len(cs), x.shape[1])
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        (rows @ x.T) @ x
        seconds.append(time.perf_counter() - started)
    return steps * min(seconds)


def _digits(dim: int) -> Data:
    generator = torch.Generator().manual_seed(0)
    count = TRAIN + TEST
    bunch = load_digits()
    picked = torch.randint(len(bunch.images), (count,), generator=generator)
    images = torch.from_numpy(bunch.images).float()[picked, None] / 16
    images = grid_sample(
        images, affine_grid(_motions(count, generator), [count, 1, 16, 16], align_corners=False), align_corners=False
    )
    images += 0.15 * torch.randn(images.shape, generator=generator)
    first = torch.randn(64, 1, 5, 5, generator=generator) / 5
    second = torch.randn(dim, 64, 3, 3, generator=generator) / 24
    x = conv2d(conv2d(images, first, stride=2).relu(), second).relu().mean(dim=(2, 3)).double()
    x = (x - x[:TRAIN].mean(dim=0)) / x[:TRAIN].std(dim=0)
    y = torch.from_numpy(bunch.target).long()[picked]
    return Data(x[:TRAIN].contiguous(), y[:TRAIN], x[TRAIN:].contiguous(), y[TRAIN:])


def _motions(count: int, generator: torch.Generator) -> Tensor:
    """Turns by up to 0.35 radians, scales of 0.85 to 1.15 and moves by up to a tenth of the width."""
    angle = 0.7 * (torch.rand(count, generator=generator) - 0.5)
    size = 1 + 0.3 * (torch.rand(count, generator=generator) - 0.5)
    cosine, sine = size * angle.cos(), size * angle.sin()
    move = 0.4 * (torch.rand(2, count, generator=generator) - 0.5)
    return torch.stack([cosine, -sine, move[0], sine, cosine, move[1]], dim=1).view(count, 2, 3)
