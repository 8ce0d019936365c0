"""A run that a signal stops says so by its exit code, and goes on as if it had not stopped."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from processes import free_port, run_ranks
from small_arms import PatchTeacher, WholeRuns, make_group
from test_ddp import arms, joined
from test_shared_arms import ARMS, assert_same_run
from torch.multiprocessing import ProcessExitedException

from phis_lab.engine import StopRequest, train_group
from phis_lab.engine.callbacks import interrupt
from phis_lab.engine.callbacks.interrupt import SIGNALS
from phis_lab.engine.callbacks.keeper import Keeper

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 138, signal.SIGUSR2: 140, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def attended() -> Iterator[None]:
    """Signals as in a process that somebody started at a terminal, whatever the tests were started by."""
    before = [signal.signal(number, signal.SIG_DFL) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


def signal_before(method: str, of: type, number: int, patch: pytest.MonkeyPatch, call: int = 1) -> None:
    """Send this process a signal when a method is called for the `call`-th time."""
    calls = []
    own: Callable[..., object] = getattr(of, method)

    def signalled(*arguments: object, **named: object) -> object:
        calls.append(None)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return own(*arguments, **named)

    patch.setattr(of, method, signalled)


def stop(folder: Path, code: int) -> None:
    with pytest.raises(SystemExit) as end:
        train_group(make_group(folder, {"phis": ARMS["phis"]}))
    assert end.value.code == code
    assert not list(folder.rglob("result.json"))


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_stops_after_the_step_and_the_same_command_goes_on(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_runs: WholeRuns
) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with monkeypatch.context() as patch:
        signal_before("features", PatchTeacher, number, patch, call=7)  # of two teachers, in the fourth step
        stop(tmp_path, CODES[number])
    assert torch.load(tmp_path / "phis" / "checkpoint.pt", weights_only=True)["step"] == 4
    assert [signal.getsignal(each) for each in SIGNALS] == before
    train_group(make_group(tmp_path, {"phis": ARMS["phis"]}))
    assert_same_run(tmp_path / "phis", whole_runs.solo("phis", ARMS["phis"], views=None))


def test_a_signal_while_training_is_set_up_stops_after_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        signal_before("on_train_start", Keeper, signal.SIGTERM, patch)
        stop(tmp_path, 143)
    assert torch.load(tmp_path / "phis" / "checkpoint.pt", weights_only=True)["step"] == 1


def test_the_end_of_a_terminal_stays_ignored_under_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with StopRequest().listening() as request:
        os.kill(os.getpid(), signal.SIGHUP)
    assert not request.requested
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_shell_that_puts_a_run_into_the_background_does_not_make_it_deaf() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopRequest().listening() as request:
        os.kill(os.getpid(), signal.SIGINT)
    assert request.signal == signal.SIGINT


def be_told_twice(rank: int, number: int, folder: Path) -> None:
    signal.signal(number, signal.SIG_DFL)
    with StopRequest().listening():
        os.kill(os.getpid(), number)
        (folder / "once").touch()
        os.kill(os.getpid(), number)
        (folder / "twice").touch()


@pytest.mark.ddp
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals, tmp_path: Path) -> None:
    with pytest.raises(ProcessExitedException, match=number.name):
        run_ranks(be_told_twice, number, tmp_path, world=1)
    assert [path.name for path in tmp_path.iterdir()] == ["once"]


def train_and_signal_as(rank: int, world: int, port: int, folder: Path) -> None:
    """Two processes, of which the second alone is told to stop, in the fourth step."""
    group = make_group(folder, {"phis": arms()["phis"]})
    group.strategy = joined(rank, world, port)
    with pytest.MonkeyPatch.context() as patch:
        if rank == 1:
            signal_before("features", PatchTeacher, signal.SIGTERM, patch, call=7)
        with pytest.raises(SystemExit) as end:
            train_group(group)
    assert end.value.code == (143 if rank == 0 else 0)


@pytest.mark.ddp
def test_all_processes_stop_after_the_step_in_which_one_was_told_to(tmp_path: Path) -> None:
    run_ranks(train_and_signal_as, 2, free_port(), tmp_path)
    assert torch.load(tmp_path / "phis" / "checkpoint.pt", weights_only=True)["step"] == 4
    assert not list(tmp_path.rglob("result.json"))


def train_and_signal_while_agreeing(rank: int, world: int, port: int, folder: Path) -> None:
    """Two processes, of which the second hears when the answer of the fourth step is already on its way."""
    group = make_group(folder, {"phis": arms()["phis"]})
    group.strategy = joined(rank, world, port)
    largest, calls = interrupt.largest, []

    def signalled(number: int) -> int:
        calls.append(None)
        answer = largest(number)
        if rank == 1 and len(calls) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interrupt, "largest", signalled)
        with pytest.raises(SystemExit):
            train_group(group)


@pytest.mark.ddp
def test_a_signal_that_comes_while_processes_agree_stops_all_of_them_after_the_next_step(tmp_path: Path) -> None:
    run_ranks(train_and_signal_while_agreeing, 2, free_port(), tmp_path)
    assert torch.load(tmp_path / "phis" / "checkpoint.pt", weights_only=True)["step"] == 5


def test_a_task_of_slurm_is_not_ended_by_what_slurm_and_srun_both_send(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NTASKS": "2", "JOB_ID": "1", "STEP_ID": "0", "STEP_NUM_TASKS": "2"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with StopRequest().listening() as request:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
    assert request.signal == signal.SIGUSR1


def test_a_signal_of_its_own_after_another_processs_is_not_the_second() -> None:
    with StopRequest().listening() as request, pytest.MonkeyPatch.context() as patch:
        patch.setattr(interrupt, "largest", lambda number: signal.SIGTERM)
        assert request.agree()
        os.kill(os.getpid(), signal.SIGTERM)
    assert request.signal == signal.SIGTERM


def test_under_slurm_no_checkpoint_but_ours_is_written_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_runs: WholeRuns
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"NTASKS": "1", "JOB_NAME": "job", "JOB_ID": "1", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    (tmp_path / "hpc_ckpt_1.ckpt").write_bytes(b"another run's")
    with monkeypatch.context() as patch:
        signal_before("features", PatchTeacher, signal.SIGUSR1, patch, call=7)
        stop(tmp_path / "runs", 138)
    assert [path.name for path in tmp_path.rglob("*.ckpt")] == ["hpc_ckpt_1.ckpt"]
    train_group(make_group(tmp_path / "runs", {"phis": ARMS["phis"]}))
    assert_same_run(tmp_path / "runs" / "phis", whole_runs.solo("phis", ARMS["phis"], views=None))
