"""Draws the figures of the mathematics with the library itself.

Run: python docs/mathematics/figures.py
"""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from phis_lab.linalg import Moments, hadamard_matrix
from phis_lab.linalg.rotations import random_rotation
from phis_lab.linalg.vmf_sne import vmf_sne
from phis_lab.normalizers import (
    EMAStandardize,
    GlobalStandardize,
    HadamardWhiten,
    Identity,
    Normalizer,
    PCAWhiten,
    PhiS,
    RandomRotationScale,
    Standardize,
    TeacherInTheMiddle,
    ZCAWhiten,
)

INK, BLUE, ORANGE, GREEN, RED = "#7d8590", "#4c72d0", "#e08a2e", "#3d9c6b", "#d1495b"
STYLE = {
    "svg.fonttype": "none",
    "savefig.dpi": 160,
    "svg.hashsalt": "phis_lab",
    "font.family": "sans-serif",
    "font.size": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.bbox": "tight",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color"), INK
    ),
}
VARIANCES = {"DFN CLIP": 5.83e-4, "SigLIP": 2.367, "DINOv2": 1.731, "SAM": 22.68}
"""Mean variance of a channel, from the scales in table 8 of PHI-S."""


def loudness() -> Figure:
    """Which part of a sum of squared errors each teacher has, while the student knows nothing."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.1), sharey=True)
    shares = np.array([*VARIANCES.values()]) / sum(VARIANCES.values())
    for ax, values, title in zip(axes, (shares, np.full(4, 0.25)), ("raw features", "after PHI-S"), strict=True):
        bars = ax.barh([*VARIANCES], 100 * values, color=[BLUE, GREEN, ORANGE, RED])
        ax.bar_label(bars, [f"{100 * value:.3g} %" for value in values], padding=3, color=INK)
        ax.set(title=title, xlim=(0, 105), xlabel="share of the loss (%)")
    axes[0].invert_yaxis()
    return figure


def spaces() -> Figure:
    """A teacher of two channels in seven spaces, and what a round error becomes on the way back."""
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(600, 2, generator=draw, dtype=torch.float64) @ torch.tensor([[1.9, 0.0], [1.15, 0.35]]).double().T
    x = x + torch.tensor([2.5, -1.0])
    moments = Moments(2).update(x)
    angle = torch.linspace(0, 2 * torch.pi, 200, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    methods: list[tuple[str, Callable[[int], Normalizer]]] = [
        ("raw", Identity), ("global", GlobalStandardize), ("per channel", Standardize), ("PCA-W", PCAWhiten),
        ("ZCA", ZCAWhiten), ("HCA", HadamardWhiten), ("PHI-S", PhiS),
    ]  # fmt: skip
    figure, axes = plt.subplots(2, len(methods), figsize=(10, 3.3))
    for (name, method), (above, below) in zip(methods, axes.T, strict=True):
        space = method(2).double().fit(moments)
        y = space(x)
        above.scatter(*y.T, s=2, color=BLUE, alpha=0.5, linewidths=0, rasterized=True)
        above.plot(*(y.mean(dim=0) + 0.5 * circle).T, color=RED)
        below.scatter(*x.T, s=2, color=INK, alpha=0.5, linewidths=0, rasterized=True)
        below.plot(*space.inverse(y.mean(dim=0) + 0.5 * circle).T, color=RED)
        above.set_title(name)
        _square(above, y)
        _square(below, x)
    axes[0, 0].set_ylabel("the student's target")
    axes[1, 0].set_ylabel("the teacher's space")
    return figure


def channels() -> Figure:
    """Variances of all channels of a teacher of 192 channels with a steep spectrum."""
    moments = _steep(192, mixed=False)
    figure, ax = plt.subplots(figsize=(6.4, 2.6))
    for name, normalizer, colour in (
        ("raw, over their mean", Identity(192), INK),
        ("random rotation, one scale", RandomRotationScale(192), ORANGE),
        ("PHI-S: rotation of Hadamard, one scale", PhiS(192), BLUE),
    ):
        weight, _ = normalizer.double().fit(moments).affine()
        variance = (weight @ moments.covariance @ weight.T).diagonal()
        ax.semilogy((variance / variance.mean()).sort(descending=True).values, label=name, color=colour)
    ax.set(xlabel="channels, the loudest first", ylabel="variance")
    ax.legend()
    return figure


def hadamard() -> Figure:
    """Matrices of four orders."""
    orders = {12: "12: Paley, q = 11", 16: "16: Sylvester", 28: "28: Paley, q = 3³", 48: "48: 12 doubled"}
    colours = mpl.colors.ListedColormap([BLUE, "#dfe5f2"])
    figure, axes = plt.subplots(1, len(orders), figsize=(8, 2.2))
    for ax, (order, title) in zip(axes, orders.items(), strict=True):
        ax.imshow(hadamard_matrix(order).numpy(), cmap=colours, interpolation="nearest")
        ax.set(title=title, xticks=[], yticks=[])
    return figure


def errors() -> Figure:
    """Mean squared error in the normalised space against that in the teacher's, of 300 random mistakes."""
    moments = _steep(64)
    draw = torch.Generator().manual_seed(1)
    tilt = torch.rand(300, 1, generator=draw, dtype=torch.float64) * 2 - 1
    mistakes = torch.randn(300, 64, generator=draw, dtype=torch.float64) * torch.linspace(-1.2, 1.2, 64).mul(tilt).exp()
    mistakes = mistakes @ moments.eigh()[1].T
    figure, axes = plt.subplots(1, 2, figsize=(6.8, 2.7))
    for ax, method, name in ((axes[0], PhiS, "PHI-S"), (axes[1], PCAWhiten, "whitening (PCA-W, ZCA, HCA alike)")):
        weight, _ = method(64).double().fit(moments).affine()
        ax.plot(
            mistakes.square().mean(dim=1),
            (mistakes @ weight.T).square().mean(dim=1),
            ".",
            color=BLUE,
            ms=3,
            rasterized=True,
        )
        ax.set(title=name, xlabel="error in the teacher's space")
    axes[0].set_ylabel("the loss")
    figure.tight_layout()
    return figure


def running() -> Figure:
    """UNIC's weight of the new batch over a run, and over how many batches the average reaches."""
    progress = np.linspace(0, 1, 400)
    standardize = EMAStandardize(1)
    momentum = []
    for share in progress:
        standardize.schedule(float(share))
        momentum.append(standardize.momentum)
    weights = np.array(momentum)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.3))
    left.plot(progress, weights, color=BLUE)
    left.set(xlabel="share of the run", ylabel="weight m of the new batch")
    right.semilogy(progress, (2 - weights) / weights, color=BLUE)
    right.set(xlabel="share of the run", ylabel="batches in the average, (2 - m) / m")
    figure.tight_layout()
    return figure


def dropping() -> Figure:
    """Which part of the loss the worst-matched teacher of an image has."""
    probability = np.linspace(0, 1, 100)
    figure, ax = plt.subplots(figsize=(4.2, 2.5))
    for teachers, colour, chosen in ((2, BLUE, 0.25), (4, ORANGE, 0.5)):
        share = 1 / (1 + (teachers - 1) * (1 - probability))
        ax.plot(probability, share, color=colour, label=f"{teachers} teachers")
        ax.plot(chosen, 1 / (1 + (teachers - 1) * (1 - chosen)), "o", color=colour)
    ax.set(xlabel="probability p of dropping", ylabel="share of the worst-matched", ylim=(0, 1.05))
    ax.legend()
    return figure


def cosines() -> Figure:
    """Cosines between tokens before and after TinTeM's map from 64 to 16 channels, untrained and trained."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(6, 64, generator=draw)
    tokens = (centres.repeat(8, 1) + 0.6 * torch.randn(48, 64, generator=draw))[None]
    tintem = TeacherInTheMiddle(64, 16)
    figure, axes = plt.subplots(1, 2, figsize=(5.8, 2.9), sharey=True, sharex=True)
    _compare(axes[0], tokens, tintem, "as drawn")
    optimizer = torch.optim.Adam(tintem.parameters(), lr=1e-2)
    for _ in range(250):
        optimizer.zero_grad()
        vmf_sne(tokens, tintem.map(tokens)).mean().backward()
        optimizer.step()
    _compare(axes[1], tokens, tintem, "after 250 steps of its own loss")
    axes[0].set_ylabel("cosine after the map")
    return figure


FIGURES = (loudness, spaces, channels, hadamard, errors, running, dropping, cosines)


def _compare(ax: Axes, tokens: Tensor, tintem: TeacherInTheMiddle, title: str) -> None:
    pairs = torch.triu_indices(tokens.shape[1], tokens.shape[1], 1)
    cosine = [torch.nn.functional.normalize(x[0], dim=1) for x in (tokens, tintem(tokens))]
    before, after = ((x @ x.T)[tuple(pairs)] for x in cosine)
    ax.plot([-0.6, 1], [-0.6, 1], color=INK, linewidth=0.8)
    ax.plot(before, after, ".", ms=2, color=BLUE, alpha=0.6, rasterized=True)
    difference = vmf_sne(tokens, tintem(tokens)).item()
    ax.set(title=f"{title}\ndivergence {difference:.2f}", xlabel="cosine in the teacher's space")


def _steep(dim: int, mixed: bool = True) -> Moments:
    """Moments of features whose spectrum falls as i ** -1.2, in its own basis or in one of no meaning."""
    draw = torch.Generator().manual_seed(0)
    scale = torch.arange(1, dim + 1, dtype=torch.float64).pow(-0.6)
    x = torch.randn(8 * dim, dim, generator=draw, dtype=torch.float64) * scale
    return Moments(dim).update(x @ random_rotation(dim, seed=1) if mixed else x)


def _square(ax: Axes, points: Tensor) -> None:
    centre, reach = points.mean(dim=0), 1.05 * (points - points.mean(dim=0)).abs().max()
    ax.set(xlim=(centre[0] - reach, centre[0] + reach), ylim=(centre[1] - reach, centre[1] + reach))
    ax.set(aspect="equal", xticks=[], yticks=[])
    for side in ("left", "bottom"):
        ax.spines[side].set_alpha(0.4)


def main(folder: Path = Path(__file__).parent) -> None:
    """Draw all figures into a folder."""
    mpl.use("svg")
    with mpl.rc_context(STYLE):
        for draw in FIGURES:
            figure = draw()
            figure.savefig(folder / f"{draw.__name__}.svg", metadata={"Date": None, "Creator": None})
            plt.close(figure)


if __name__ == "__main__":
    main()
