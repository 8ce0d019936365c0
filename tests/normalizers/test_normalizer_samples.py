"""What the package shows is tested: a class in `__all__` has a sample, or a sentence says what to add."""

import inspect

import pytest
import torch
from normalizer_samples import COMPRESSING, METHODS, OPTIONS, RUNNING, SOLVED, concrete, moments_of, sample_of

from phis_lab import normalizers
from phis_lab.normalizers import FeatureMap, PhiS, RunningStandardize, Standardize

EVERY = concrete(FeatureMap)


@pytest.mark.parametrize("name", EVERY)
def test_every_map_that_the_package_shows_is_of_one_tested_kind(name: str) -> None:
    kinds = [kind for kind in (SOLVED, RUNNING, COMPRESSING) if name in kind]
    assert len(kinds) == 1, (
        f"{EVERY[name].__name__} of phis_lab.normalizers is a map of a new kind: make it a Normalizer, a "
        "RunningStandardize or a Compression, or give its kind samples in normalizer_samples.py and tests of its own"
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_sample(name: str) -> None:
    own = [p.name for p in inspect.signature(SOLVED[name]).parameters.values() if p.default is inspect.Parameter.empty]
    missing = [option for option in own if option not in {"dim", *OPTIONS.get(SOLVED[name].__name__, {})}]
    assert missing == [], (
        f"{SOLVED[name].__name__} needs {', '.join(missing)}: give values to OPTIONS in normalizer_samples.py, and "
        "it is in all the contract and law tests"
    )
    assert METHODS[name](4).dim == 4


def test_options_are_those_of_methods_that_there_are() -> None:
    assert set(OPTIONS) <= {kind.__name__ for kind in SOLVED.values()}


def test_a_method_is_known_by_its_word_on_the_command_line() -> None:
    assert (SOLVED["phis"], SOLVED["standardize"]) == (PhiS, Standardize)
    assert {"zca_whiten", "random_rotation_scale"} <= set(METHODS)
    assert set(RUNNING) == {"batch_standardize", "ema_standardize"}
    assert len(EVERY) == len(METHODS) + len(RUNNING) + len(COMPRESSING)


def test_a_method_joins_the_moment_that_the_package_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class TwiceStandardized(Standardize):
        """Its sample needs nothing but a number of channels."""

    monkeypatch.setattr(normalizers, "TwiceStandardized", TwiceStandardized, raising=False)
    monkeypatch.setattr(normalizers, "__all__", [*normalizers.__all__, "TwiceStandardized"])
    joined = concrete(normalizers.Normalizer, but=(RunningStandardize,))
    assert joined.keys() - SOLVED.keys() == {"twice_standardized"}
    made = sample_of(joined["twice_standardized"])(3)
    assert made.fit(moments_of(torch.randn(9, 3))).is_fitted
