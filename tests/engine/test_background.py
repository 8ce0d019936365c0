"""Checkpoints that are written while the next steps run hold the step that they were begun after."""

import errno
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from small_arms import WholeRuns, make_group
from test_shared_arms import ARMS, assert_same_run, fail_at_call
from torch.utils._pytree import tree_map

from phis_lab.engine import train_group
from phis_lab.engine.arm_checkpoint import load_checkpoint, save_checkpoint
from phis_lab.engine.callbacks import keeper
from phis_lab.engine.callbacks.background import BackgroundWriter, copied

PAIR = {key: ARMS[key] for key in ("phis", "whiten")}


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, dict[str, Any]]]:
    """Checkpoints are written beside steps, each after a step's time: where, at which step, and with what."""
    written: list[tuple[str, int, dict[str, Any]]] = []

    def slowly(folder: Path, state: Mapping[str, Any]) -> None:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.3)
        written.append((folder.name, state["step"], tree_map(copied, dict(state))))
        save_checkpoint(folder, state)

    monkeypatch.setattr(keeper, "BESIDE_STEPS_OF", ("cpu",))
    monkeypatch.setattr(keeper, "save_checkpoint", slowly)
    return written


def test_each_holds_its_own_step_of_every_arm(
    tmp_path: Path, beside: list[tuple[str, int, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_group(make_group(tmp_path / "beside", PAIR, checkpoint_every=4))
    ours = list(beside)
    beside.clear()
    monkeypatch.setattr(keeper, "BESIDE_STEPS_OF", ())
    train_group(make_group(tmp_path / "between", PAIR, checkpoint_every=4))

    assert [(name, step) for name, step, _ in ours] == [(name, step) for name, step, _ in beside]
    assert sorted({step for _, step, _ in ours}) == [4, 8, 12]
    for (_, _, found), (_, _, expected) in zip(ours, beside, strict=True):
        torch.testing.assert_close(found["arm"], expected["arm"], rtol=0, atol=0)
        torch.testing.assert_close(found["estimation"], expected["estimation"], rtol=0, atol=0)
        assert [step for step, _ in found["run"]["logged"]] == [step for step, _ in expected["run"]["logged"]]


def test_a_run_that_breaks_while_one_is_written_goes_on_from_it(
    tmp_path: Path, beside: list[tuple[str, int, dict[str, Any]]], whole_runs: WholeRuns
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, 6)
        with pytest.raises(OSError, match="power"):
            train_group(make_group(tmp_path, {"phis": ARMS["phis"]}, checkpoint_every=5))
    state = load_checkpoint(tmp_path / "phis", beside[-1][2]["config_sha256"])
    assert state is not None
    assert state["step"] == 5
    train_group(make_group(tmp_path, {"phis": ARMS["phis"]}, checkpoint_every=5))
    assert_same_run(tmp_path / "phis", whole_runs.solo("phis", ARMS["phis"], views=None))


def test_a_full_disk_ends_the_run_at_the_next_step(
    tmp_path: Path, beside: list[tuple[str, int, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, state: Mapping[str, Any]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(keeper, "save_checkpoint", full)
    with pytest.raises(OSError, match="No space left"):
        train_group(make_group(tmp_path, {"phis": ARMS["phis"]}, checkpoint_every=3))
    assert not beside
    assert not (tmp_path / "phis" / "result.json").exists()


def test_one_write_at_a_time_and_a_failure_is_raised_once() -> None:
    writer, order = BackgroundWriter(), []

    def write(name: str, seconds: float = 0.0) -> None:
        time.sleep(seconds)
        order.append(name)

    writer.raise_failure()
    writer.begin(lambda: write("first", 0.2))
    writer.raise_failure()  # does not wait
    assert order == []
    writer.begin(lambda: write("second"))
    assert order[0] == "first"
    writer.wait()
    assert order == ["first", "second"]
    writer.begin(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.wait()
    writer.wait()


def test_a_copy_keeps_what_a_step_changes() -> None:
    weight = torch.ones(2)
    state = {"weight": weight, "logged": [(1, {"loss": 2.0})], "step": 3, "nothing": None}
    kept = copied(state)
    weight.zero_()
    state["logged"].append((2, {}))
    assert torch.equal(kept["weight"], torch.ones(2))
    assert (kept["logged"], kept["step"], kept["nothing"]) == ([(1, {"loss": 2.0})], 3, None)
