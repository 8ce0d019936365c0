"""Arms that share a teacher pass equal their solo runs bit for bit, whatever the others are."""

import itertools
from pathlib import Path

import pytest
import torch
from small_arms import make_arm, make_group

from phis_lab.distill import DivergedError, FeatureProvider, train_group
from phis_lab.losses import AdaLoss, Cosine, HybridSmoothL1
from phis_lab.normalizers import Identity, PCAWhiten, PhiS, Standardize
from phis_lab.tracking import RunRecord, read_record

ARMS = {
    "phis": lambda pool: make_arm(pool, PhiS),
    "identity": lambda pool: make_arm(pool, Identity, recipe={"lr": 3e-3, "clip": 1.0}),
    "whiten": lambda pool: make_arm(pool, PCAWhiten, loss=HybridSmoothL1(), balancer=AdaLoss()),
    "standardize": lambda pool: make_arm(pool, Standardize, loss=Cosine(), seed=3),
}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["arm"]["modules"]


def measured(record: RunRecord) -> object:
    return record.metrics, record.teacher_metrics, record.history


def assert_same_run(first: Path, second: Path) -> None:
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert measured(read_record(first / "result.json")) == measured(read_record(second / "result.json"))


def fail_at_call(patch: pytest.MonkeyPatch, number: int) -> None:
    """Makes the teacher pass break the `number`-th time."""
    call = FeatureProvider.__call__
    calls = itertools.count(1)

    def broken(self: FeatureProvider, images: torch.Tensor, keys: torch.Tensor | None = None) -> object:
        if next(calls) == number:
            raise OSError("the power went out")
        return call(self, images, keys)

    patch.setattr(FeatureProvider, "__call__", broken)


@pytest.mark.parametrize("views", [None, 2])
def test_every_arm_equals_its_solo_run_bit_for_bit(tmp_path: Path, views: int | None) -> None:
    train_group(make_group(tmp_path / "together", ARMS, views=views))
    for key, make in ARMS.items():
        train_group(make_group(tmp_path / "alone", {key: make}, views=views))
        assert_same_run(tmp_path / "together" / key, tmp_path / "alone" / key)


def test_an_arm_that_diverges_is_recorded_and_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    arms = {"wild": lambda pool: make_arm(pool, Identity, recipe={"lr": 1e30}), "phis": ARMS["phis"]}
    train_group(make_group(tmp_path / "together", arms))
    train_group(make_group(tmp_path / "alone", {"phis": ARMS["phis"]}))
    assert_same_run(tmp_path / "together" / "phis", tmp_path / "alone" / "phis")
    record = read_record(tmp_path / "together" / "wild" / "result.json")
    assert record.status == "failed"
    assert record.failure is not None
    assert "not finite at step" in record.failure


def test_a_group_without_a_living_arm_ends_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="not finite at step"):
        train_group(make_group(tmp_path, {"wild": lambda pool: make_arm(pool, Identity, recipe={"lr": 1e30})}))


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = {key: ARMS[key] for key in ("phis", "whiten")}
    train_group(make_group(tmp_path / "whole", arms))
    with monkeypatch.context() as patch:
        fail_at_call(patch, 9)
        with pytest.raises(OSError, match="power"):
            train_group(make_group(tmp_path / "parts", arms))
    assert not (tmp_path / "parts" / "phis" / "result.json").exists()
    train_group(make_group(tmp_path / "parts", arms))
    for key in arms:
        assert_same_run(tmp_path / "whole" / key, tmp_path / "parts" / key)
