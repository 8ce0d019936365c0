"""Running statistics: used before or after they take a batch in, for any normaliser."""

from pathlib import Path

import pytest
import torch
from small_arms import make_arm, make_group
from test_shared_arms import assert_same_run, fail_at_call

from phis_lab.engine import RunningEstimation, train_group
from phis_lab.features import Features
from phis_lab.normalizers import EMAStandardize, PhiS, Standardize

PLACE = ("all", (2, 2))


def features(step: int) -> dict[str, dict[tuple[int, int], dict[str, Features]]]:
    spatial = torch.randn(6, 2, 2, 5, generator=torch.Generator().manual_seed(step)) * (step + 1) + step
    return {"all": {(2, 2): {"sam": Features(None, spatial)}}}


def started(steps: int = 6, **options: object) -> RunningEstimation:
    estimation = RunningEstimation(**options)
    estimation.start({}, {PLACE}, steps)
    return estimation


def tokens(step: int) -> torch.Tensor:
    return features(step)["all"][2, 2]["sam"].spatial.reshape(-1, 5).double()


def test_variances_alone_are_averaged_as_covariances_are() -> None:
    full = started()
    light = full.of_variances()
    light.start({}, {PLACE}, 6)
    for step in range(4):
        full.observe(features(step), step)
        light.observe(features(step), step)
    covariances, variances = full.gathered([PLACE])["sam"], light.gathered([PLACE])["sam"]
    assert variances.diagonal
    torch.testing.assert_close(variances.variance, covariances.variance, rtol=1e-12, atol=0)


@pytest.mark.parametrize("first", [False, True])
def test_the_statistics_are_averages_that_a_cosine_weighs(first: bool) -> None:
    estimation = started(take_in_first=first)
    mean, covariance = tokens(0).mean(0), torch.cov(tokens(0).T)
    for step in range(6):
        before = mean, covariance
        assert estimation.observe(features(step), step) == (step > 0 or first)
        weight = 1e-3 + (1 - 1e-3) * (1 + torch.cos(torch.tensor(torch.pi * step / 5)).double()) / 2
        if step > 0:
            mean = (1 - weight) * mean + weight * tokens(step).mean(0)
            covariance = (1 - weight) * covariance + weight * torch.cov(tokens(step).T)
        if step == 0 and not first:
            continue
        used = estimation.gathered([PLACE])["sam"]
        expected = (mean, covariance) if first else before
        torch.testing.assert_close(used.mean, expected[0], rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(used.covariance, expected[1], rtol=1e-6, atol=1e-8)


def test_with_both_momenta_one_they_are_those_of_the_newest_batch() -> None:
    estimation = started(momentum_start=1.0, momentum_end=1.0, take_in_first=True)
    for step in range(4):
        estimation.observe(features(step), step)
    torch.testing.assert_close(estimation.gathered([PLACE])["sam"].mean, tokens(3).mean(0), rtol=1e-6, atol=1e-8)


def test_a_standardisation_that_is_fitted_from_them_follows_unics_own_means() -> None:
    estimation, unic, fitted = started(), EMAStandardize(5), Standardize(5)
    unic.train()
    for step in range(6):
        if estimation.observe(features(step), step):
            fitted.fit(estimation.gathered([PLACE])["sam"])
        if step > 0:
            torch.testing.assert_close(fitted.affine()[1], unic.affine()[1], rtol=1e-4, atol=1e-4)
        unic.schedule(step / 5)
        unic(features(step)["all"][2, 2]["sam"].spatial)


@pytest.mark.parametrize("first", [False, True])
def test_a_run_resumes_with_its_running_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    def group(name: str):
        made = make_group(tmp_path / name, {"phis": lambda pool: make_arm(pool, PhiS)}, checkpoint_every=3)
        made.estimation = RunningEstimation(take_in_first=first, refresh_every=2)
        return made

    train_group(group("whole"))
    with monkeypatch.context() as broken:
        fail_at_call(broken, 8)
        with pytest.raises(OSError, match="power"):
            train_group(group("parts"))
    train_group(group("parts"))
    assert_same_run(tmp_path / "parts" / "phis", tmp_path / "whole" / "phis")
