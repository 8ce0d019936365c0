"""Arms that partition a teacher pass equal their solo runs bit for bit, whatever the others are."""

import itertools
from pathlib import Path

import pytest
import torch
from small_arms import WholeRuns, make_arm, make_group, run_of

from phis_lab.engine import ArmFailedError, FeatureProvider, train_group
from phis_lab.linalg import Moments
from phis_lab.losses import AdaLoss, Cosine, HybridSmoothL1
from phis_lab.normalizers import Identity, PCAWhiten, PhiS, Standardize
from phis_lab.runs import RunRecord, read_record

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
def test_every_arm_equals_its_solo_run_bit_for_bit(tmp_path: Path, views: int | None, whole_runs: WholeRuns) -> None:
    train_group(make_group(tmp_path / "together", ARMS, views=views))
    for key, make in ARMS.items():
        assert_same_run(tmp_path / "together" / key, whole_runs.solo(key, make, views=views))


def test_an_arm_that_diverges_is_recorded_and_leaves_the_others_as_they_were(
    tmp_path: Path, whole_runs: WholeRuns
) -> None:
    arms = {"wild": lambda pool: make_arm(pool, Identity, recipe={"lr": 1e30}), "phis": ARMS["phis"]}
    train_group(make_group(tmp_path / "together", arms))
    assert_same_run(tmp_path / "together" / "phis", whole_runs.solo("phis", ARMS["phis"], views=None))
    record = read_record(tmp_path / "together" / "wild" / "result.json")
    assert record.status == "failed"
    assert record.failure is not None
    assert "not finite after" in record.failure


def test_a_group_without_a_living_arm_ends_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ArmFailedError, match="not finite after"):
        train_group(make_group(tmp_path, {"wild": lambda pool: make_arm(pool, Identity, recipe={"lr": 1e30})}))


@pytest.mark.parametrize("views", [None, 2])
def test_a_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, views: int | None, whole_runs: WholeRuns
) -> None:
    arms = {key: ARMS[key] for key in ("phis", "whiten")}
    with monkeypatch.context() as patch:
        fail_at_call(patch, 9)
        with pytest.raises(OSError, match="power"):
            train_group(make_group(tmp_path / "parts", arms, views=views))
    assert not (tmp_path / "parts" / "phis" / "result.json").exists()
    train_group(make_group(tmp_path / "parts", arms, views=views))
    for key, make in arms.items():
        assert_same_run(whole_runs.solo(key, make, views=views), tmp_path / "parts" / key)


class FailsToFit(PhiS):
    """Refuses its statistics."""

    def solve(self, moments: Moments) -> dict[str, torch.Tensor]:
        raise ValueError("no such floor")


def test_an_arm_whose_statistics_are_refused_is_recorded_with_the_teacher(tmp_path: Path) -> None:
    train_group(make_group(tmp_path, {"bad": lambda pool: make_arm(pool, FailsToFit), "phis": ARMS["phis"]}))
    failure = read_record(tmp_path / "bad" / "result.json").failure
    assert failure == "teacher 'quiet', spatial features, step 2: no such floor"
    assert read_record(tmp_path / "phis" / "result.json").status == "complete"


@pytest.mark.parametrize("step", [8, 12])
def test_an_arm_that_its_last_step_broke_keeps_nobody_from_being_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    group = make_group(tmp_path, {"broken": ARMS["identity"], "phis": ARMS["phis"]})
    arm = run_of(group, "broken").arm
    optimise = arm.optimizer.step
    calls = itertools.count(3)  # the first two steps only gather

    def breaking() -> None:
        optimise()
        if next(calls) == step:
            arm.student.backbone.get_parameter("vit.norm.weight").data.fill_(float("nan"))

    monkeypatch.setattr(arm.optimizer, "step", breaking)
    train_group(group)
    failure = read_record(tmp_path / "broken" / "result.json").failure
    assert failure == f"its features are not finite after step {step}"
    assert read_record(tmp_path / "phis" / "result.json").metrics
