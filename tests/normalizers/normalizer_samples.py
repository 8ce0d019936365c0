"""Features with a known spectrum, and one instance of every method."""

import inspect
import re
from collections.abc import Callable

import torch

from phis_lab import normalizers
from phis_lab.linalg import Moments, random_rotation
from phis_lab.normalizers import Compression, FeatureMap, Normalizer, RunningStandardize

OPTIONS: dict[str, dict[str, object]] = {"RandomRotationScale": {"seed": 3}, "PartialWhiten": {"gamma": 0.4}}
"""What a method's sample is made with beside the number of channels, where the usual options would not do."""


def concrete(kind: type[FeatureMap], but: tuple[type[FeatureMap], ...] = ()) -> dict[str, type[FeatureMap]]:
    """The classes of a kind that the package shows and that can be made, by their words on the command line."""
    found = {name: getattr(normalizers, name) for name in normalizers.__all__}
    return {
        re.sub("(?<=[a-zA-Z])(?=[A-Z][a-z])", "_", name).lower(): made
        for name, made in found.items()
        if inspect.isclass(made)
        and issubclass(made, kind)
        and not issubclass(made, but)
        and not inspect.isabstract(made)
    }


def sample_of(kind: type[Normalizer]) -> Callable[[int], Normalizer]:
    return lambda dim: kind(dim, **OPTIONS.get(kind.__name__, {}))


RUNNING = concrete(RunningStandardize)
COMPRESSING = concrete(Compression)
SOLVED = concrete(Normalizer, but=(RunningStandardize,))
METHODS: dict[str, Callable[[int], Normalizer]] = {name: sample_of(kind) for name, kind in SOLVED.items()}
"""One of every method that is solved from moments; every law and every part of the contract is tried on each."""

ISOTROPIC = ["identity", "global_standardize", "phis", "center_scale", "pca_scale", "random_rotation_scale"]
WHITENING = ["pca_whiten", "zca_whiten", "hadamard_whiten"]
SCALED_ROTATIONS = ["phis", "center_scale", "pca_scale", "random_rotation_scale"]
ELEMENTWISE = ["identity", "global_standardize", "standardize", "center_scale"]


def features(dim: int, count: int = 400, seed: int = 0, decay: float = 8.0, offset: float = 1.0) -> torch.Tensor:
    """Gaussian rows, eigenvalues from 1 down to exp(-decay) in a random basis, channel means of size `offset`."""
    generator = torch.Generator().manual_seed(seed)
    deviations = torch.linspace(0, -decay / 2, dim, dtype=torch.float64).exp()
    white = torch.randn(count, dim, dtype=torch.float64, generator=generator)
    means = offset * torch.randn(dim, dtype=torch.float64, generator=generator)
    return white * deviations @ random_rotation(dim, seed).T + means


def moments_of(rows: torch.Tensor) -> Moments:
    return Moments(rows.shape[-1]).update(rows)


def fitted(method: str, rows: torch.Tensor) -> Normalizer:
    """A method fitted to rows, computing in float64."""
    return METHODS[method](rows.shape[-1]).double().fit(moments_of(rows))


def phi(rows: torch.Tensor) -> torch.Tensor:
    """PHI-S's scale by its definition: the root of the mean variance."""
    return rows.var(0).mean().sqrt()
