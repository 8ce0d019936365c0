"""From what a pass collected to the numbers of the paper's tables 6 to 9 and of figure 2."""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from phis_lab.figures.activations import Activations, extreme_channels
from phis_lab.linalg import Moments, random_rotation
from phis_lab.metrics.effective_rank import rank_of
from phis_lab.normalizers import PhiS
from phis_lab.normalizers.spread import mean_variance
from phis_lab.shapes import Float, Float64
from phis_lab.survey.passes import Collected
from phis_lab.survey.statistics import Channels, Histogram, Norms, Rotation, Scales, Spectrum, TeacherStatistics
from phis_lab.survey.tokens import TokenNorms

LARGE = 0.75
DEAD = 1e-6
"""A channel is dead below this share of the root mean variance."""
SHARES = (0.9, 0.99)


class Alignment(NamedTuple):
    """Sizes of the entries of a rotation that the best matching of rows and columns takes (PHI-S, table 9)."""

    mean: float
    lowest: float
    highest: float
    large: int
    """Entries above 0.75."""
    random_mean: float
    """Mean of the entries that the best matching takes of a random rotation of this size."""


def phis_rotation(moments: Moments) -> Float64[Tensor, "dim dim"]:
    """H U^T: the map of PHI-S without its scale."""
    normalizer = PhiS(moments.dim).fit(moments)
    return normalizer.weight * float(mean_variance(moments).sqrt())


def permutation_alignment(rotation: Float64[Tensor, "dim dim"]) -> Alignment:
    """Likeness to a permutation matrix, for which every matched entry has size 1.

    Rows and columns are matched so that the sum of the absolute entries is the largest (Hungarian matching). A
    permutation would only reorder the channels; a mean as small as a random rotation's says that all are mixed.
    """
    matched = _matched(rotation)
    chance = float(_matched(random_rotation(len(rotation), seed=0)).mean())
    large = int((matched > LARGE).sum())
    return Alignment(float(matched.mean()), float(matched.min()), float(matched.max()), large, chance)


def _matched(rotation: Float64[Tensor, "dim dim"]) -> Float64[Tensor, "dim"]:
    sizes = rotation.abs().cpu()
    rows, columns = linear_sum_assignment(sizes.numpy(), maximize=True)
    return sizes[torch.from_numpy(rows), torch.from_numpy(columns)]


def summarise(collected: Collected, source: str) -> TeacherStatistics:
    """All numbers of one teacher.

    Args:
        collected: from a pass over the images; its moments have their provenance.
        source: where the weights come from.

    Raises:
        ValueError: there are fewer than two tokens, or all of them are the same.
    """
    moments = collected.moments
    return TeacherStatistics(
        provenance=moments.provenance,
        source=source,
        grid=f"{collected.grid[0]}x{collected.grid[1]}",
        images=collected.images,
        tokens=moments.count,
        channels=channels_of(moments),
        scales=scales_of(moments),
        spectrum=spectrum_of(moments),
        rotation=rotation_of(moments),
        norms=norms_of(collected.norms),
        activations=activations_of(moments, collected.sample.tokens),
        sampled=len(collected.sample.tokens),
    )


def channels_of(moments: Moments) -> Channels:
    """Ranges over channels, and mean and deviation of all values together (PHI-S, table 7)."""
    mean, std = moments.mean, moments.variance.sqrt()
    dead = std <= DEAD * mean_variance(moments).sqrt()
    return Channels(
        lowest_mean=float(mean.min()),
        highest_mean=float(mean.max()),
        lowest_std=float(std.min()),
        highest_std=float(std.max()),
        global_mean=float(mean.mean()),
        global_std=float(_global_variance(moments).sqrt()),
        extreme=extreme_channels(moments),
        dead=tuple(dead.nonzero().flatten().tolist()),
    )


def scales_of(moments: Moments) -> Scales:
    """1 / sigma_g and 1 / phi, where sigma_g^2 = phi^2 + Var_c(mu_c) (PHI-S, table 8 and A.5.2)."""
    whole, within = _global_variance(moments), mean_variance(moments)
    return Scales(
        alpha_global=float(whole.rsqrt()),
        alpha_phis=float(within.rsqrt()),
        from_means=float((whole - within) / whole),
    )


def spectrum_of(moments: Moments) -> Spectrum:
    """Eigenvalues, the rank of RankMe, and how many components hold most of the variance."""
    eigenvalues = moments.eigh()[0].cpu()
    held = eigenvalues.cumsum(0) / eigenvalues.sum()
    return Spectrum(
        eigenvalues=tuple(eigenvalues.tolist()),
        effective_rank=float(rank_of(moments)),
        components={f"{share:.0%}": int((held < share).sum()) + 1 for share in SHARES},
    )


def rotation_of(moments: Moments) -> Rotation:
    """The rotation of PHI-S, matched to a permutation (PHI-S, table 9)."""
    kind = PhiS(moments.dim).rotation
    return Rotation(kind=kind, **permutation_alignment(phis_rotation(moments))._asdict())


def norms_of(norms: TokenNorms) -> Norms:
    """Median, spread and outliers of the token norms."""
    low, high, density = norms.distribution()
    return Norms(
        median=norms.median,
        deviation=norms.deviation,
        threshold=norms.threshold,
        outliers=norms.outliers,
        largest=norms.largest,
        distribution=Histogram(low=low, high=high, density=tuple(density.tolist())),
    )


def activations_of(moments: Moments, tokens: Float[Tensor, "tokens dim"]) -> dict[str, Histogram]:
    """Histograms of a sample within 5 deviations, of all channels and of the extreme ones (PHI-S, figure 2)."""
    activations = Activations(moments)
    activations.update(tokens.to(moments.mean.device))
    return {
        name: Histogram(
            low=float(curve.edges[0]), high=float(curve.edges[-1]), density=tuple(curve.density.cpu().tolist())
        )
        for name, curve in activations.curves().items()
    }


def _global_variance(moments: Moments) -> Float64[Tensor, ""]:
    return mean_variance(moments) + moments.mean.var(correction=0)
