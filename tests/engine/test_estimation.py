"""Statistics: when they are gathered, what is refused, and what is saved."""

from pathlib import Path

import pytest
import torch

from phis_lab.engine import OfflineEstimation, OnlineEstimation
from phis_lab.engine.estimation.base import refuse_non_finite
from phis_lab.engine.estimation.saved_moments import refuse_foreign
from phis_lab.features import Features
from phis_lab.linalg import Moments

GRID = (2, 2)
PLACE = ("all", GRID)
SAM = {"teacher": "sam", "image_size": "64", "sha256": "abc", "layer": "neck"}
FACTS = {"all": {"sam": SAM}}


def features(seed: int = 0) -> dict[str, dict[tuple[int, int], dict[str, Features]]]:
    generator = torch.Generator().manual_seed(seed)
    return {"all": {GRID: {"sam": Features(None, torch.randn(6, 2, 2, 5, generator=generator))}}}


def online(**options: object) -> OnlineEstimation:
    estimation = OnlineEstimation(**{"steps": 5, "refresh_every": 2, "warmup_steps": 1} | options)
    estimation.start(FACTS, {PLACE}, 8)
    return estimation


def test_fits_come_after_the_warmup_then_every_refresh_then_once_more_and_never_again() -> None:
    estimation = online()
    assert [estimation.observe(features(step), step) for step in range(8)] == [
        False,
        True,
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    assert estimation.first_step == 1


@pytest.mark.parametrize("every", [1, 2])
def test_moments_are_those_of_all_tokens_of_the_counted_steps(every: int) -> None:
    estimation = online(every=every)
    for step in range(8):
        estimation.observe(features(step), step)
    counted = [features(step)["all"][GRID]["sam"].spatial.reshape(-1, 5) for step in range(0, 5, every)]
    tokens = torch.cat(counted).double()
    moments = estimation.moments[PLACE]["sam"]
    torch.testing.assert_close(moments.covariance, torch.cov(tokens.T), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(moments.mean, tokens.mean(0), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_features_are_refused_with_teacher_kind_and_step(bad: float) -> None:
    spoiled = features()
    spoiled["all"][GRID]["sam"].spatial[0, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="teacher 'sam': 1 NaN or infinite values in its spatial features at step 7"):
        refuse_non_finite(spoiled, 7)


def test_what_is_gathered_for_scales_alone_are_variances_and_the_same() -> None:
    full = online()
    light = full.of_variances()
    light.start(FACTS, {PLACE}, 8)
    for step in range(3):
        assert full.observe(features(step), step) == light.observe(features(step), step)
    covariances, variances = full.gathered([PLACE])["sam"], light.gathered([PLACE])["sam"]
    assert (covariances.diagonal, variances.diagonal) == (False, True)
    torch.testing.assert_close(variances.variance, covariances.variance, rtol=1e-12, atol=0)
    resumed = full.of_variances()
    resumed.start(FACTS, {PLACE}, 8)
    resumed.load_state_dict(light.state_dict(), {PLACE})
    assert torch.equal(resumed.gathered([PLACE])["sam"].variance, variances.variance)


def test_a_run_that_goes_on_with_other_moments_takes_their_variances_or_is_told_why_not() -> None:
    full = online()
    full.observe(features(), 0)
    light = full.of_variances()
    light.start(FACTS, {PLACE}, 8)
    light.load_state_dict(full.state_dict(), {PLACE})
    assert torch.equal(light.gathered([PLACE])["sam"].variance, full.gathered([PLACE])["sam"].variance)
    with pytest.raises(ValueError, match=r"gathered variances alone; leave estimation\.save out"):
        online().load_state_dict(light.state_dict(), {PLACE})


def test_moments_that_are_saved_or_read_serve_every_method(tmp_path: Path) -> None:
    saving = online(save=str(tmp_path))
    assert saving.of_variances() is saving
    offline = OfflineEstimation(str(tmp_path))
    assert offline.of_variances() is offline


def test_a_resumed_estimation_goes_on_where_it_stopped() -> None:
    whole, first, second = online(), online(), online()
    for step in range(5):
        whole.observe(features(step), step)
        (first if step < 3 else second).observe(features(step), step)
        if step == 2:
            second.resume_at(3)
            second.load_state_dict(first.state_dict(), [PLACE])
    assert torch.equal(whole.moments[PLACE]["sam"].covariance, second.moments[PLACE]["sam"].covariance)
    assert whole.state_dict() == {}


def test_a_grid_whose_first_steps_are_unknown_is_not_counted() -> None:
    late = online()
    late.resume_at(3)
    late.observe(features(), 3)
    assert late.moments == {PLACE: {}}
    assert late.state_dict() == {}


def test_saved_moments_serve_an_offline_run(tmp_path: Path) -> None:
    estimation = online(save=str(tmp_path))
    for step in range(5):
        estimation.observe(features(step), step)
    offline = OfflineEstimation(str(tmp_path))
    offline.start(FACTS, {PLACE}, 8)
    assert torch.equal(offline.moments[PLACE]["sam"].covariance, estimation.moments[PLACE]["sam"].covariance)
    assert [offline.observe(features(), step) for step in range(3)] == [True, False, False]


def test_moments_of_another_teacher_are_refused(tmp_path: Path) -> None:
    estimation = online(save=str(tmp_path))
    for step in range(5):
        estimation.observe(features(step), step)
    with pytest.raises(ValueError, match="'sam' are of other features: sha256 is 'abc', not 'other'"):
        OfflineEstimation(str(tmp_path)).start({"all": {"sam": SAM | {"sha256": "other"}}}, {PLACE}, 8)


@pytest.mark.parametrize(("gathered", "seen"), [({"compiled": "yes"}, {}), ({}, {"compiled": "yes"})])
def test_moments_of_compiled_teachers_are_those_of_compiled_teachers(
    gathered: dict[str, str], seen: dict[str, str]
) -> None:
    refuse_foreign(SAM | seen, SAM | seen, "sam")
    with pytest.raises(ValueError, match=r"'sam' are of other features: compiled is"):
        refuse_foreign(SAM | gathered, SAM | seen, "sam")


def test_a_missing_folder_of_moments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is none at"):
        OfflineEstimation(str(tmp_path / "nowhere"))


def test_a_warmup_as_long_as_the_estimation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"warmup_steps \(5\) must be below steps \(5\)"):
        OnlineEstimation(steps=5, refresh_every=1, warmup_steps=5)


def test_moments_keep_their_provenance(tmp_path: Path) -> None:
    estimation = online(save=str(tmp_path))
    for step in range(5):
        estimation.observe(features(step), step)
    saved = Moments.load(tmp_path / "sam-64px-2x2.safetensors")
    assert saved.provenance["sha256"] == "abc"
    assert saved.provenance["grid"] == "2x2"


@pytest.mark.parametrize(
    ("options", "max_steps", "says"), [({}, 1, "nobody would train"), ({"save": "x"}, 4, "nothing would be saved")]
)
def test_a_run_too_short_for_its_statistics_is_refused(options: dict[str, object], max_steps: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        online(**options).check(max_steps)


def test_moments_of_other_images_are_refused_unless_they_are_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    estimation = OnlineEstimation(steps=1, refresh_every=1, save=str(tmp_path))
    estimation.start({"all": {"sam": SAM | {"data": "one"}}}, {PLACE}, 8)
    estimation.observe(features(), 0)
    others = {"all": {"sam": SAM | {"data": "other"}}}
    with pytest.raises(ValueError, match=r"'sam' were gathered on other images .* estimation\.other_images=true"):
        OfflineEstimation(str(tmp_path)).check_files(others, {PLACE})
    OfflineEstimation(str(tmp_path), other_images=True).start(others, {PLACE}, 8)
    assert "gathered on other images" in caplog.text
