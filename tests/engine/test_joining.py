"""Arms that stand at different steps train in one group, each as if it were alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_arms import WholeRuns, make_arm, make_group, make_job, make_stages, patch_pool, run_of
from test_shared_arms import ARMS, assert_same_run, fail_at_call

from phis_lab.data import Augmentation, DataModule
from phis_lab.data.digits import Digits
from phis_lab.engine import Arm, ArmFailedError, Distiller, Run, Start, TrainerOptions, train_group
from phis_lab.engine.estimation.online import OnlineEstimation
from phis_lab.normalizers import Identity
from phis_lab.runs import read_progress, read_record
from phis_lab.teachers import TeacherPool

Arms = dict[str, Callable[[TeacherPool], Arm]]
FINE: Arms = {"fine": lambda pool: make_arm(pool, seed=4, patch_size=4)}
WILD: Arms = {"wild": lambda pool: make_arm(pool, Identity, recipe={"lr": 1e30})}


def interrupt(folder: Path, arms: Arms, call: int, patch: pytest.MonkeyPatch, **options: int) -> None:
    """Trains until the teachers are called for the `call`-th time; evaluations after step 8 call them twice."""
    with patch.context() as broken:
        fail_at_call(broken, call)
        with pytest.raises(OSError, match="power"):
            train_group(make_group(folder, arms, **options))


def assert_each_equals_its_solo_run(folder: Path, arms: Arms, whole_runs: WholeRuns) -> None:
    for key, make in arms.items():
        assert_same_run(folder / "parts" / key, whole_runs.solo(key, make, views=None))


@pytest.mark.parametrize("call", [7, 13], ids=["while gathering", "once frozen and evaluated"])
def test_an_arm_added_later_joins_the_interrupted_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, whole_runs: WholeRuns
) -> None:
    begun = {key: ARMS[key] for key in ("phis", "whiten")}
    interrupt(tmp_path / "parts", begun, call, monkeypatch)
    arms = begun | {"identity": ARMS["identity"]}
    train_group(make_group(tmp_path / "parts", arms))
    assert_each_equals_its_solo_run(tmp_path, arms, whole_runs)


def test_the_statistics_of_a_grid_come_with_the_arm_that_gathered_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_runs: WholeRuns
) -> None:
    phis = {"phis": ARMS["phis"]}
    interrupt(tmp_path / "parts", FINE, 5, monkeypatch, checkpoint_every=4)
    interrupt(tmp_path / "parts", phis, 4, monkeypatch, checkpoint_every=3)
    train_group(make_group(tmp_path / "parts", FINE | phis))
    assert_each_equals_its_solo_run(tmp_path, FINE | phis, whole_runs)


def test_one_teacher_pass_serves_the_arms_from_where_each_goes_on() -> None:
    pool = patch_pool()
    runs = [Run(key, key, make_job(Path(key)), make(pool)) for key, make in ARMS.items()]
    by_key = {run.key: run for run in runs}
    by_key["phis"].start, by_key["whiten"].start = Start(5), Start(3)
    data = DataModule(Digits(batch_size=16, train_images=64), Augmentation(16), 8)
    stages = make_stages(data, pool, [run.arm for run in runs], TrainerOptions(8))
    module = Distiller(runs, stages, OnlineEstimation(2, 1))
    assert module.steps_done == 0
    assert {run.key for run in module.live()} == {"identity", "standardize"}
    module.steps_done = 3
    assert {run.key for run in module.live()} == {"identity", "standardize", "whiten"}
    assert not module.took_last_step(by_key["whiten"])


def test_a_failed_arm_is_recorded_at_once_and_not_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = WILD | {"phis": ARMS["phis"]}
    interrupt(tmp_path, arms, 7, monkeypatch)
    record = read_record(tmp_path / "wild" / "result.json")
    assert (record.status, record.steps) == ("failed", 3)
    progress = read_progress(tmp_path / "phis")
    assert progress is not None
    assert (progress.method, progress.max_steps) == ("phis", 12)


def test_an_arm_that_waits_still_runs_when_the_others_have_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_runs: WholeRuns
) -> None:
    interrupt(tmp_path / "parts", {"phis": ARMS["phis"]}, 13, monkeypatch)
    train_group(make_group(tmp_path / "parts", WILD | {"phis": ARMS["phis"]}))
    assert_each_equals_its_solo_run(tmp_path, {"phis": ARMS["phis"]}, whole_runs)


def test_a_stopped_arm_frees_the_state_of_its_optimiser(tmp_path: Path) -> None:
    group = make_group(tmp_path, WILD)
    with pytest.raises(ArmFailedError, match="not finite"):
        train_group(group)
    assert not run_of(group, "wild").arm.optimizer.state
