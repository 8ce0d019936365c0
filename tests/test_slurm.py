"""What a process knows of its Slurm step, and what becomes of a job that a signal has stopped."""

import logging
import os
import signal
from pathlib import Path

import pytest

from phis_lab.slurm import hand_over, this_step

TASK = {
    "SLURM_JOB_ID": "70012", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "gpu[03-04]", "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NODELIST": "gpu[02-04]",
}  # fmt: skip
SCRIPT = {name: value for name, value in TASK.items() if "STEP" not in name} | {"SLURM_PROCID": "0"}
ONE = {"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    for name in os.environ:
        if name.startswith("SLURM_"):
            monkeypatch.delenv(name)
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("environment", [TASK, TASK | {"SLURM_JOB_NAME": "interactive"}], indirect=True)
def test_a_task_of_srun_knows_the_others_by_its_step(environment: None) -> None:
    step = this_step()
    assert step is not None
    assert step[:5] == (4, 2, 3, 1, 1)
    assert step.first_machine == "gpu03"
    assert 15000 <= step.port < 25000


@pytest.mark.parametrize(
    "environment",
    [
        {},
        SCRIPT,
        TASK | ONE | {"SLURM_JOB_NAME": "bash"},
        TASK | ONE | {"SLURM_JOB_NAME": "interactive"},
        TASK | ONE | {"SLURM_PTY_PORT": "4000"},
    ],
    indirect=True,
    ids=["no-slurm", "script", "bash", "salloc", "pty"],
)
def test_scripts_and_shells_are_no_tasks(environment: None) -> None:
    assert this_step() is None


@pytest.mark.parametrize("environment", [TASK], indirect=True)
def test_steps_of_one_job_meet_at_different_ports(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = this_step()
    monkeypatch.setenv("SLURM_STEP_ID", "1")
    second = this_step()
    assert first is not None
    assert second is not None
    assert first.port != second.port


@pytest.mark.parametrize("names", ["a1", "a1,b2", "a1,b[2-3]", "a[1-3,5],b", "a[1]", "a[1,4]"])
@pytest.mark.parametrize("environment", [TASK], indirect=True)
def test_the_first_machine_of_any_list_is_found(environment: None, names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NODELIST", names)
    step = this_step()
    assert step is not None
    assert step.first_machine == "a1"


def scontrol(folder: Path, body: str, patch: pytest.MonkeyPatch) -> None:
    program = folder / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n{body}\n')
    program.chmod(0o755)
    patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
@pytest.mark.parametrize("environment", [TASK], indirect=True)
def test_a_warned_job_is_put_into_the_queue_again(
    environment: None,
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scontrol(tmp_path, "", monkeypatch)
    with caplog.at_level(logging.WARNING):
        hand_over(number)
    assert (tmp_path / "asked").read_text() == "requeue 70012\n"
    assert "Job 70012 is in Slurm's queue again" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, 99])
@pytest.mark.parametrize("environment", [TASK], indirect=True)
def test_a_job_that_may_have_been_cancelled_is_not(
    environment: None, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol(tmp_path, "", monkeypatch)
    hand_over(number)
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("body", "why"), [("echo 'Access/permission denied' >&2; exit 1", "Access/permission denied"), (None, "scontrol")]
)
@pytest.mark.parametrize("environment", [TASK], indirect=True)
def test_a_queue_that_refuses_is_told_in_a_sentence(
    environment: None,
    body: str | None,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if body is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        scontrol(tmp_path, body, monkeypatch)
    with caplog.at_level(logging.WARNING):
        hand_over(signal.SIGUSR1)
    assert "Slurm did not put job 70012 into the queue again" in caplog.text
    assert why in caplog.text
    assert "submit the same command again" in caplog.text


@pytest.mark.parametrize("environment", [TASK], indirect=True)
def test_who_listened_before_the_run_is_given_the_signal(
    environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol(tmp_path, "", monkeypatch)
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    try:
        hand_over(signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert heard == [signal.SIGUSR2]
    assert not (tmp_path / "asked").exists()
