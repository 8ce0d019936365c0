"""Processes that train together: whichever ends before the rendezvous, no other one stays behind, and it says why."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FIRST = """
import logging, os, subprocess, sys, time
from phis_lab import lifelines
lifelines._GRACE_S = 0
logging.basicConfig(format="%(message)s")
os.environ[lifelines.LAUNCHER] = str(os.getpid())
children = [subprocess.Popen([sys.executable, "-c", code]) for code in sys.argv[1:]]
print(*(child.pid for child in children), flush=True)
lifelines.end_with_children(children)
time.sleep(100)
"""
WAITING = """
import logging, time
from phis_lab import lifelines
lifelines._GRACE_S = 0
logging.basicConfig(format="%(message)s")
lifelines.end_with_launcher()
print("waits", flush=True)
time.sleep(100)
"""


def launch(*children: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FIRST, *children]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("end", "says"), [("raise SystemExit(3)", "code 3"), ("import os; os.kill(os.getpid(), 9)", "signal SIGKILL")]
)
def test_the_first_process_ends_by_name_of_the_one_that_ended(end: str, says: str) -> None:
    with launch(WAITING, end) as first:
        printed, told = first.communicate(timeout=30)
    assert first.returncode == 1
    assert f"Process 2 of 3, which train together, ended with {says}" in told
    assert_gone(int(printed.split()[0]))


def test_processes_that_end_well_end_no_other() -> None:
    with launch("") as first:
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(timeout=2)
        first.kill()


def test_a_process_ends_with_the_one_that_launched_it() -> None:
    with launch(WAITING) as first:
        assert first.stdout is not None
        child = int(first.stdout.readline())
        assert first.stdout.readline() == "waits\n"
        os.kill(first.pid, signal.SIGKILL)
        assert first.stderr is not None
        assert f"The process that started this one ({first.pid}) has ended" in first.stderr.read()
    assert_gone(child)


def assert_gone(process: int) -> None:
    for _ in range(100):
        state = Path(f"/proc/{process}/stat")
        try:
            if state.read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.1)
    pytest.fail(f"process {process} is still there")
