"""Robustness of drawn subjects under corruptions made by hand."""

from dataclasses import replace

import pytest
import torch
from drawn_subjects import drawn_subject, look
from torch import Tensor

from phis_lab.evals.score import Score
from phis_lab.evals.subject import Task
from phis_lab.evals.tasks import robustness
from phis_lab.evals.tasks.corruptions import ALEXNET_ERRORS
from phis_lab.evals.tasks.robustness import Robustness, mean_corruption_error
from phis_lab.features import Features

FAITHFUL = ("knn_agreement", "linear_agreement", "summary_cosine", "spatial_cosine")


def by_hand(images: Tensor, name: str, severity: int, first: int) -> Tensor:
    """Fog leaves nothing of the image; snow swaps the colours of images 0 to 4 severity - 1; the rest do nothing."""
    if name == "fog":
        return torch.full_like(images, 0.5)
    swapped = torch.arange(first, first + len(images)) < 4 * severity
    return torch.where(swapped[:, None, None, None] & (name == "snow"), images[:, [1, 0, 2]], images)


@pytest.fixture(autouse=True)
def _without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "corrupt", by_hand)
    monkeypatch.setattr(robustness, "check_corruptions_installed", lambda: None)


def measured(error: float = 0.0, reference: str | None = None, **options: object) -> dict[str, Score]:
    settings = {"corruptions": ["snow", "fog", "contrast"], "severities": [1, 3], "k": 3, "detail": "full"}
    task = Robustness(**settings | options, reference=reference, train_images=60, test_images=24)  # type: ignore[arg-type]
    assert isinstance(task, Task)
    return task(drawn_subject(error))


def test_accuracies_are_means_over_severities_and_then_over_corruptions() -> None:
    found = measured()
    for classifier in ("knn", "linear"):
        assert found[f"clean/{classifier}_accuracy"] == 1.0
        assert found[f"contrast/{classifier}_accuracy"] == 1.0
        assert found[f"fog/{classifier}_accuracy"] == pytest.approx(1 / 6)  # one answer for all six classes
        assert found[f"snow/{classifier}_accuracy"] == pytest.approx((20 / 24 + 12 / 24) / 2)  # 4, then 12 of 24
        assert found[f"corrupted/{classifier}_accuracy"] == pytest.approx((1 + 1 / 6 + 2 / 3) / 3)


def test_a_student_that_is_its_teacher_is_faithful_everywhere() -> None:
    found = measured()
    faithful = {name: value for name, value in found.items() if name.endswith(("_agreement", "_cosine"))}
    assert {name.split("/")[1] for name in faithful if name.count("/") == 2} == {"whole", "local"}
    assert "clean/local/summary_cosine" not in faithful
    assert faithful == pytest.approx(dict.fromkeys(faithful, 1.0))


def test_every_number_has_its_unit_and_its_direction_and_two_are_headlines() -> None:
    found = measured(reference="pixels", corruptions=["fog"])
    units = {
        "clean/knn_accuracy": "fraction",
        "corrupted/knn_agreement": "fraction",
        "clean/spatial_cosine": "",
        "fog/whole/summary_cosine": "",
        "relative/spatial_cosine": "fraction",
        "knn_mce": "fraction of error with pixels",
    }
    assert {name: found[name].unit for name in units} == units
    assert {name for name, score in found.items() if not score.detail} == {"corrupted/knn_accuracy", "knn_mce"}
    assert {name for name, score in found.items() if not score.higher_is_better} == {"knn_mce", "linear_mce"}


def test_means_are_over_teachers_and_tell_no_single_corruption() -> None:
    full = measured(error=4.0, reference="pixels", corruptions=["snow", "fog"])
    means = measured(error=4.0, reference="pixels", corruptions=["snow", "fog"], detail="means")
    assert set(means) == {
        *(f"{row}/{classifier}_accuracy" for row in ("clean", "corrupted") for classifier in ("knn", "linear")),
        *(f"{row}/{name}" for row in ("clean", "corrupted", "relative") for name in FAITHFUL),
        "knn_mce",
        "linear_mce",
    }
    assert means.items() <= full.items()
    both = full["fog/whole/knn_agreement"] + full["fog/local/knn_agreement"]
    assert full["fog/knn_agreement"] == pytest.approx(both / 2)
    assert means["clean/summary_cosine"] == full["clean/whole/summary_cosine"]


def test_agreement_is_with_the_teacher_and_not_with_the_truth() -> None:
    found = measured()
    assert found["fog/whole/knn_agreement"] == 1.0
    assert found["fog/whole/knn_accuracy"] == pytest.approx(1 / 6)


def test_an_error_of_the_heads_costs_cosine_and_agreement_but_no_accuracy() -> None:
    found = measured(error=4.0)
    assert found["clean/knn_accuracy"] == 1.0
    assert 0.05 < found["clean/whole/summary_cosine"] < 0.95
    assert found["clean/whole/knn_agreement"] < 1.0
    expected = found["corrupted/whole/knn_agreement"] / found["clean/whole/knn_agreement"]
    assert found["relative/whole/knn_agreement"] == pytest.approx(expected)


def test_mean_corruption_error_by_hand() -> None:
    errors, reference = {"fog": 0.3, "snow": 0.4}, {"fog": 0.6, "snow": 0.5, "frost": 0.1}
    assert mean_corruption_error(errors, reference) == pytest.approx((0.5 + 0.8) / 2)
    assert mean_corruption_error(ALEXNET_ERRORS, ALEXNET_ERRORS) == pytest.approx(1)


@pytest.mark.parametrize("reference", ["pixels", "whole"])
def test_corruption_errors_are_shares_of_the_references(reference: str) -> None:
    found = measured(reference=reference, corruptions=["snow", "fog"])
    for classifier in ("knn", "linear"):
        ours, theirs = (
            [1 - found[f"{name}/{prefix}{classifier}_accuracy"] for name in ("snow", "fog")]
            for prefix in ("", f"{reference}/")
        )
        assert found[f"{classifier}_mce"] == pytest.approx(sum(a / b for a, b in zip(ours, theirs, strict=True)) / 2)
        assert found[f"{classifier}_mce"].higher_is_better is False


def test_alexnet_is_a_reference_at_all_severities() -> None:
    found = measured(reference="alexnet", corruptions=["fog"], severities=[1, 2, 3, 4, 5])
    assert found["knn_mce"] == pytest.approx((5 / 6) / ALEXNET_ERRORS["fog"])
    with pytest.raises(ValueError, match="AlexNet's errors are means over severities 1 to 5"):
        Robustness(reference="alexnet", severities=[1])


def test_a_reference_without_errors_and_an_unknown_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"under contrast is 0\.0; take more test images or another reference"):
        measured(reference="whole")
    with pytest.raises(ValueError, match="reference is one of pixels, alexnet, local, whole or null, got 'resnet'"):
        measured(reference="resnet")


def test_bad_options_are_refused_before_anything_is_looked_at() -> None:
    with pytest.raises(ValueError, match=r"corruptions are some of gaussian_noise, .* got 'rain'"):
        Robustness(["rain"])
    with pytest.raises(ValueError, match="severities are some of 1, 2, 3, 4, 5, got 6"):
        Robustness(severities=[6])
    with pytest.raises(ValueError, match="20 neighbours need as many training images; train_images is 10"):
        Robustness(train_images=10)


def test_nan_features_are_refused() -> None:
    def broken(images: Tensor) -> Features:
        summary, spatial = look(images)
        return Features(summary * torch.nan, spatial)

    with pytest.raises(ValueError, match="NaN or infinity"):
        Robustness(["fog"], k=3, train_images=60, test_images=24)(replace(drawn_subject(), tokens=broken))


def test_fewer_images_than_k_are_refused() -> None:
    subject = drawn_subject()
    few = replace(subject, images=lambda split, count: subject.images(split, 12))
    with pytest.raises(ValueError, match="20 neighbours need as many training images, got 12"):
        Robustness(["fog"])(few)
