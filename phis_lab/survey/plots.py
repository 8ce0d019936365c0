"""The statistics as figures: activations, eigen-spectra and token norms."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from phis_lab.figures.activations import Curve, activation_panels
from phis_lab.reports.style import GREY, INK, PAGE_WIDTH, RC, legend_above, logarithmic, looks, panels
from phis_lab.survey.statistics import Histogram, Norms, Statistics

CAPTIONS = {
    "activations": "Activations within 5 standard deviations, of all channels and of the four extreme ones, from a "
    "random sample of tokens (PHI-S, figure 2).",
    "spectra": "Eigenvalues of the covariance over their mean, and the share of the variance that the leading ones "
    "hold. Isotropic features would lie on the dotted lines.",
    "norms": "Token norms over their median, on the same axes for all teachers; to the right of the orange line tokens "
    "count as outliers.",
}
LOWEST = 1e-7
"""Eigenvalues below this share of their mean leave the figure: dead channels and rounding would stretch it."""


def figures(statistics: Statistics) -> dict[str, Figure]:
    """Every figure of the report, by the name of its file."""
    labels = _labels(statistics)
    teachers = {labels[key]: of for key, of in statistics.teachers.items()}
    curves = {name: {of: _curve(h) for of, h in found.activations.items()} for name, found in teachers.items()}
    return {
        "activations": activation_panels(curves),
        "spectra": spectra({name.replace("\n", ", "): found.spectrum.eigenvalues for name, found in teachers.items()}),
        "norms": norm_panels({name: found.norms for name, found in teachers.items()}),
    }


def spectra(eigenvalues: Mapping[str, tuple[float, ...]]) -> Figure:
    """Eigenvalues over their mean, and their cumulative share, against the share of the components."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(PAGE_WIDTH, 3.1), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (name, values), look in zip(eigenvalues.items(), looks(list(eigenvalues)).values(), strict=True):
            spectrum = np.asarray(values)
            place = np.arange(1, len(spectrum) + 1) / len(spectrum)
            relative = spectrum / spectrum.mean()
            style = {"color": look.color, "linestyle": look.linestyle, "linewidth": 1.3, "label": name}
            left.plot(place, np.where(relative > 0, relative, np.nan), **style)
            held = spectrum.cumsum() / spectrum.sum()
            right.plot(np.concatenate([[0], place]), np.concatenate([[0], held]), **style)
        left.plot([0, 1], [1, 1], color=GREY, linestyle=":", linewidth=1)
        right.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        logarithmic(left, "y")
        left.set_ylim(bottom=max(left.get_ylim()[0], LOWEST))
        left.set_ylabel("eigenvalue / mean eigenvalue")
        right.set_ylabel("share of the variance")
        right.set_ylim(0, 1.02)
        for axes in (left, right):
            axes.set_xlim(0, 1)
        figure.supxlabel("share of the components", fontsize=9)
        legend_above(figure, left, across=3)
        return figure


def norm_panels(norms: Mapping[str, Norms]) -> Figure:
    """One panel per teacher, on the same axes: the share of tokens by their norm over the median."""
    with mpl.rc_context(RC):
        figure, shown = panels(len(norms), height=1.9)
        for axes, (name, found) in zip(shown, norms.items(), strict=True):
            _norm_panel(axes, found)
            axes.set_title(name)
        widest = [bound for axes in shown for bound in axes.get_xlim()]
        for axes in shown:
            axes.set_xlim(min(widest), max(widest))
            _plain_log_ticks(axes)
        figure.supxlabel("token norm / median (log)", fontsize=9)
        figure.supylabel("share of tokens (log)", fontsize=9)
        legend_above(figure, shown[0], across=3)
        return figure


def _norm_panel(axes: Axes, norms: Norms) -> None:
    distribution, median = norms.distribution, norms.median or 1.0
    density = np.asarray(distribution.density)
    edges = np.logspace(distribution.low, distribution.high, len(density) + 1) / median
    share = density * (distribution.high - distribution.low) / len(density)
    axes.stairs(share, edges, color=INK, fill=True, alpha=0.25)
    axes.stairs(share, edges, color=INK, linewidth=1, label="tokens")
    axes.axvline(1, color=INK, linestyle=(0, (4, 1.2)), linewidth=1, label="median")
    axes.axvline(norms.threshold / median, color="#D55E00", linewidth=1.2, label="outliers begin")
    logarithmic(axes, "x")
    logarithmic(axes, "y")


def _plain_log_ticks(axes: Axes) -> None:
    """Numbers such as 0.5, 1 and 2 on a logarithmic x axis; powers of ten alone where it is long."""
    low, high = axes.get_xlim()
    steps = (1.0, 2.0, 5.0) if high < 1000 * low else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _labels(statistics: Statistics) -> dict[str, str]:
    """A teacher's name, and below it the image size and grid where the folder has it at several."""
    names = [of.provenance["teacher"] for of in statistics.teachers.values()]
    return {
        key: name if names.count(name) == 1 else f"{name}\n{of.provenance['image_size']} px, {of.grid}"
        for (key, of), name in zip(statistics.teachers.items(), names, strict=True)
    }


def _curve(histogram: Histogram) -> Curve:
    density = torch.tensor(histogram.density, dtype=torch.float64)
    edges = torch.linspace(histogram.low, histogram.high, len(density) + 1, dtype=torch.float64)
    return Curve(edges, density)
