"""What a finished run leaves behind."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_arms import WholeRuns, make_arm, make_group
from test_shared_arms import ARMS, assert_same_run, fail_at_call

from phis_lab.engine import Distiller, Group, load_checkpoint, save_checkpoint, train_group
from phis_lab.engine.callbacks import keeper
from phis_lab.engine.callbacks.keeper import crew_of
from phis_lab.normalizers import PhiS, Standardize
from phis_lab.runs import RunRecord, Source, read_record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    group = make_group(folder, {"phis": make_arm})
    logged: list[tuple[int, dict[str, float]]] = []
    group.runs[0].loggers.log = lambda values, step: logged.append((step, dict(values)))
    train_group(group)
    torch.save(logged, folder / "logged.pt")
    return folder


@pytest.fixture
def record(folder: Path) -> RunRecord:
    return read_record(folder / "phis" / "result.json")


def test_the_record_holds_the_probes_and_the_match_with_every_teacher(record: RunRecord) -> None:
    ranks = {"effective_rank/spatial", "effective_rank/summary"}
    assert set(record.metrics) == {"knn/accuracy", "linear_probe/accuracy"} | ranks
    assert set(record.teacher_metrics) == {"quiet", "loud"}
    spatial = record.teacher_metrics["loud"]["spatial"]
    names = {"mse", "fidelity", "fidelity_global", "cosine", "error_variance_range", "error_variance_range_normalized"}
    names |= {"cka", "cka_unbiased", "unexplained_first_half", "unexplained_last_tenth"}
    assert set(spatial) == names
    assert record.steps == 12
    assert record.images == 12 * 16
    assert record.normalizers["loud"]["class"] == PhiS.__name__
    assert record.data.train_images == 64


def test_evaluations_during_training_skip_what_waits_for_the_end(record: RunRecord) -> None:
    assert [point.step for point in record.history] == [8, 12]
    assert set(record.history[0].metrics) == {"knn/accuracy"}
    assert set(record.history[1].metrics) == {"knn/accuracy", "linear_probe/accuracy"}


def test_steps_are_logged_per_teacher_and_term(folder: Path) -> None:
    logged = dict(torch.load(folder / "logged.pt", weights_only=True))
    assert {"train/loss", "train/lr", "train/loud/spatial", "train/quiet/summary"} <= set(logged[4])
    assert "train/loud/teacher_mse" in logged[4]
    assert "test/loud/spatial/fidelity" in logged[12]


def test_features_that_are_not_finite_are_refused_by_teacher_kind_and_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make_group(tmp_path, {"phis": make_arm})
    monkeypatch.setattr(group.stages[0].main.train.pool.teachers["loud"], "scale", float("nan"))
    with pytest.raises(ValueError, match=r"teacher 'loud': .* NaN or infinite values in its summary features"):
        train_group(group)


def test_only_arms_that_solve_for_directions_pay_for_covariances(tmp_path: Path) -> None:
    group = make_group(tmp_path, {"phis": make_arm, "standardize": lambda pool: make_arm(pool, Standardize)})
    module = Distiller(group.runs, group.stages, group.estimation)
    module.on_fit_start()
    module.training_step(next(iter(group.data.train_dataloader())), 0)
    kept = {run.key: module.estimation_of(run).moments for run in group.runs}
    assert {key: {m.diagonal for by in of_run.values() for m in by.values()} for key, of_run in kept.items()} == {
        "phis": {False},
        "standardize": {True},
    }


@pytest.mark.parametrize(
    "lost", [("run", "units"), ("arm", "optimizer"), ("arm", "modules", "spaces.loud.spatial.weight")]
)
def test_a_checkpoint_that_another_version_wrote_is_refused_in_a_sentence(
    tmp_path: Path, lost: tuple[str, ...]
) -> None:
    train_group(make_group(tmp_path, {"phis": make_arm}, max_steps=5))
    (tmp_path / "phis" / "result.json").unlink()
    path = tmp_path / "phis" / "checkpoint.pt"
    state = node = torch.load(path, weights_only=True)
    for name in lost[:-1]:
        node = node[name]
    del node[lost[-1]]
    save_checkpoint(path.parent, state)
    with pytest.raises(ValueError, match=r"checkpoint\.pt was written by another version of phis_lab"):
        train_group(make_group(tmp_path, {"phis": make_arm}, max_steps=5))


def test_a_checkpoint_of_another_configuration_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="of another configuration"):
        load_checkpoint(folder / "phis", "f" * 64)


@pytest.mark.parametrize("content", [b"", b"PK but not a checkpoint", bytes(4096)])
def test_a_checkpoint_that_cannot_be_read_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged .* delete it to train"):
        load_checkpoint(tmp_path, "0" * 64)


STATE = {"config_sha256": "0" * 64, "step": 5, "tensor": torch.arange(1000.0)}


def test_every_flipped_bit_of_a_checkpoint_is_found(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, STATE)
    path = tmp_path / "checkpoint.pt"
    content = path.read_bytes()
    assert load_checkpoint(tmp_path, "0" * 64) is not None
    for position in range(0, len(content), len(content) // 300):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1 << position % 8]) + content[position + 1 :])
        with pytest.raises(ValueError, match="is damaged"):
            load_checkpoint(tmp_path, "0" * 64)
    for cut in (1, 48, len(content) // 2):
        path.write_bytes(content[:-cut])
        with pytest.raises(ValueError, match="is damaged"):
            load_checkpoint(tmp_path, "0" * 64)


def test_a_checkpoint_is_a_zip_archive_that_torch_reads(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, STATE)
    assert zipfile.ZipFile(tmp_path / "checkpoint.pt").testzip() is None
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True, mmap=True)["step"] == 5


def test_a_run_whose_newest_checkpoint_is_torn_goes_on_from_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, whole_runs: WholeRuns
) -> None:
    arms = {key: ARMS[key] for key in ("phis", "whiten")}
    with monkeypatch.context() as patch:
        fail_at_call(patch, 9)
        with pytest.raises(OSError, match="power"):
            train_group(make_group(tmp_path, arms, checkpoint_every=2))
    torn = tmp_path / "phis" / "checkpoint.pt"
    torn.write_bytes(torn.read_bytes()[:-100])
    train_group(make_group(tmp_path, arms, checkpoint_every=2))
    assert f"{torn} is damaged" in caplog.text
    assert "going on from checkpoint.previous.pt, of step " in caplog.text
    for key, make in arms.items():
        assert_same_run(whole_runs.solo(key, make, views=None), tmp_path / key)


def test_of_a_run_that_has_ended_no_older_student_is_taken(tmp_path: Path) -> None:
    for step in (4, 5):
        save_checkpoint(tmp_path, STATE | {"step": step})
    (tmp_path / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(tmp_path, "0" * 64, newest=True)
    found = load_checkpoint(tmp_path, "0" * 64)
    assert found is not None
    assert found["step"] == 4


def test_a_run_that_has_ended_keeps_its_last_checkpoint_alone(folder: Path) -> None:
    assert [path.name for path in (folder / "phis").glob("*.pt")] == ["checkpoint.pt"]


def test_a_power_cut_between_the_two_names_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, STATE)
    (tmp_path / "checkpoint.pt").rename(tmp_path / "checkpoint.previous.pt")
    found = load_checkpoint(tmp_path, "0" * 64)
    assert found is not None
    assert found["step"] == 5


def test_a_run_that_finished_training_only_evaluates_again(folder: Path, record: RunRecord) -> None:
    (folder / "phis" / "result.json").unlink()
    train_group(make_group(folder, {"phis": make_arm}))
    again = read_record(folder / "phis" / "result.json")
    assert again.metrics == record.metrics
    assert again.teacher_metrics == record.teacher_metrics


def group_of(folder: Path, fingerprint: str, **changes: Any) -> Group:
    group = make_group(folder, {"phis": make_arm}, max_steps=5, **changes)
    group.runs[0].sources = {"the training images": Source(sha256=fingerprint)}
    return group


def test_a_run_does_not_go_on_with_other_images_and_tells_what_it_is_made_of(tmp_path: Path) -> None:
    train_group(group_of(tmp_path, "before"))
    record = read_record(tmp_path / "phis" / "result.json")
    assert record.sources == {"the training images": Source(sha256="before")}
    assert record.trained_on == {crew_of("cpu"): 5}
    (tmp_path / "phis" / "result.json").unlink()
    with pytest.raises(ValueError, match=r"the training images changed since .*checkpoint\.pt was written"):
        train_group(group_of(tmp_path, "after"))


def test_a_run_that_is_refused_in_its_first_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at_call(monkeypatch, 1)
    with pytest.raises(OSError, match="power"):
        train_group(group_of(tmp_path, "x"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "phis").mkdir()
    (tmp_path / "phis" / "notes.txt").touch()
    fail_at_call(monkeypatch, 1)
    with pytest.raises(OSError, match="power"):
        train_group(group_of(tmp_path, "x"))
    assert (tmp_path / "phis" / "notes.txt").exists()


def test_a_file_of_progress_that_cannot_be_written_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("phis_lab.engine.callbacks.status.write_progress", full)
    train_group(make_group(tmp_path, {"phis": make_arm}, max_steps=5))
    assert read_record(tmp_path / "phis" / "result.json").status == "complete"
    assert caplog.text.count("progress.json cannot be written") == 1


def test_a_run_that_goes_on_with_other_threads_says_that_its_bits_differ(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make_group(tmp_path, {"phis": make_arm}, max_steps=5, checkpoint_every=2)
    with monkeypatch.context() as patch:
        fail_at_call(patch, 4)
        with pytest.raises(OSError, match="power"):
            train_group(group)
    before = crew_of("cpu")
    monkeypatch.setattr(keeper, "crew_of", lambda device: "1 process on cpu, 7 threads each")
    train_group(make_group(tmp_path, {"phis": make_arm}, max_steps=5))
    assert f"Going on with 1 process on cpu, 7 threads each where {before} trained before" in caplog.text
    record = read_record(tmp_path / "phis" / "result.json")
    assert record.trained_on == {before: 2, "1 process on cpu, 7 threads each": 3}


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_lies_in_the_place_of_a_checkpoint_is_named(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged \(ValueError: it is no file\); delete it"):
        load_checkpoint(tmp_path, "0" * 64)
