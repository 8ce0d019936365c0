"""A run that walks through stages: what begins anew, what goes on, and that it resumes inside any of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_arms import WholeRuns, make_arm, make_group, patch_pool, run_of
from test_shared_arms import assert_same_run, fail_at_call

from phis_lab.data import PartitionPlan, StagePlan
from phis_lab.engine import Arm, OnlineEstimation, train_group
from phis_lab.engine.stages import Shifts
from phis_lab.linalg import Moments
from phis_lab.losses import AdaLoss
from phis_lab.normalizers import Identity, Standardize
from phis_lab.runs import read_record
from phis_lab.teachers import TeacherPool

STAGES = {
    "first": StagePlan(),
    "second": StagePlan(partitions={"low": PartitionPlan(scale=1.5), "high": PartitionPlan(scale=2.0, batch=0.25)}),
}
ARMS: dict[str, Callable[[TeacherPool], Arm]] = {
    "phis": lambda pool: make_arm(pool, recipe={"frozen_body_steps": 2}),
    "identity": lambda pool: make_arm(pool, Identity, balancer=AdaLoss(), recipe={"lr": 3e-3}),
}


def run(folder: Path, arms: dict[str, Callable[[TeacherPool], Arm]] = ARMS, **options: int) -> None:
    train_group(make_group(folder, arms, stages=STAGES, max_steps=18, **options))


@pytest.mark.parametrize("call", [5, 12, 21], ids=lambda call: f"call{call}")
def test_a_run_resumes_inside_any_stage_as_if_it_had_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, whole_runs: WholeRuns
) -> None:
    with monkeypatch.context() as broken:
        fail_at_call(broken, call)
        with pytest.raises(OSError, match="power"):
            run(tmp_path / "parts", checkpoint_every=4)
    run(tmp_path / "parts")
    for key in ARMS:
        assert_same_run(tmp_path / "parts" / key, whole_runs(ARMS, stages=STAGES, max_steps=18) / key)


def test_arms_that_stand_in_different_stages_equal_their_solo_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_runs: WholeRuns
) -> None:
    with monkeypatch.context() as broken:
        fail_at_call(broken, 15)
        with pytest.raises(OSError, match="power"):
            run(tmp_path / "parts", {"phis": ARMS["phis"]})
    run(tmp_path / "parts")
    for key, make in ARMS.items():
        assert_same_run(tmp_path / "parts" / key, whole_runs.solo(key, make, stages=STAGES, max_steps=18))


def test_every_stage_begins_its_statistics_schedule_and_optimiser_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make_group(tmp_path, {"phis": ARMS["phis"]}, stages=STAGES, max_steps=18, log_every=1)
    rates: dict[int, float] = {}
    loggers = group.runs[0].loggers
    logged = loggers.log
    monkeypatch.setattr(
        loggers,
        "log",
        lambda values, step: (
            rates.update({step: values["train/lr"]} if "train/lr" in values else {}),
            logged(values, step),
        ),
    )
    fits: list[int] = []
    fit = Arm.fit
    monkeypatch.setattr(Arm, "fit", lambda arm, moments, step, by: (fits.append(step), fit(arm, moments, step, by))[1])
    train_group(group)
    assert fits == [2, 4, 5, 11, 13, 14]
    assert sorted(rates) == [2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17]
    assert [rates[step] for step in range(2, 9)] == [rates[step] for step in range(11, 18)]
    assert group.runs[0].arm.stage == "second"


def test_moments_of_a_stage_are_those_of_its_partitions_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make_group(tmp_path, {"one": lambda pool: make_arm(pool, Standardize)}, stages=STAGES, max_steps=18)
    tokens: list[torch.Tensor] = []
    observe = OnlineEstimation.observe

    def spying(estimation: OnlineEstimation, features: object, step: int) -> bool:
        if set(features) == {"low", "high"} and step < 6:  # type: ignore[call-overload]
            tokens.extend(t["loud"].spatial.reshape(-1, 20) for part in features.values() for t in part.values())  # type: ignore[attr-defined]
        return observe(estimation, features, step)  # type: ignore[arg-type]

    monkeypatch.setattr(OnlineEstimation, "observe", spying)
    train_group(group)
    expected = torch.cat(tokens).double()
    normalizer = run_of(group, "one").arm.space("loud").spatial
    weight, shift = normalizer.affine()  # type: ignore[operator]
    torch.testing.assert_close(shift.double(), expected.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weight.diagonal().double(), 1 / expected.std(0), rtol=1e-3, atol=1e-5)


def test_the_record_counts_the_images_of_all_stages(whole_runs: WholeRuns) -> None:
    record = read_record(whole_runs.solo("phis", ARMS["phis"], stages=STAGES, max_steps=18) / "result.json")
    assert (record.steps, record.images) == (18, 9 * 16 + 9 * (16 + 4))
    assert set(record.teacher_metrics) == {"quiet", "loud"}


def test_the_loss_is_the_mean_of_the_partitions_and_names_its_rows_after_them(pool: TeacherPool) -> None:
    group = make_group(Path("unused"), {"phis": lambda _: make_arm(pool, Identity)}, stages=STAGES, max_steps=18)
    arm, shifts = group.runs[0].arm, Shifts((0, 0), (0, 0))
    arm.enter("second", ["low", "high"])
    batch = next(step for number, step in enumerate(group.data.train_dataloader()) if number == 12)
    views = {
        name: partition.view(
            batch[name],
            partition.features(batch[name], shifts)[arm.grid_at(partition.plan.scale)],
            shifts,
            arm.patch_size,
        )
        for name, partition in group.stages[1].partitions.items()
    }
    arm.fit({name: Moments(f.spatial.shape[-1]).update(f.spatial) for name, f in views["low"].features.items()}, 0)
    result = arm.step(views, 0, 5)
    assert set(result.rows) == {
        f"{t}/{k}/{p}" for t in ("quiet", "loud") for k in ("spatial", "summary") for p in views
    }
    assert float(result.loss) == pytest.approx(float(sum(result.rows.values())) / 2, rel=1e-5)


def test_teachers_see_and_heads_answer_only_the_partitions_they_are_named_in() -> None:
    pool = patch_pool()
    arm = make_arm(pool)
    _, predictions = arm.predict(torch.rand(2, 3, 16, 16), teachers=["loud"])
    assert list(predictions) == ["loud"]
