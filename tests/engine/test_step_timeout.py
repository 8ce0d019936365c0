"""A step that hangs is ended, and what hung is named."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_arms import PatchTeacher, WholeRuns, make_arm, make_group
from test_shared_arms import ARMS, assert_same_run

from phis_lab.data.loading import BatchLoader
from phis_lab.engine import train_group
from phis_lab.engine.callbacks import step_timeout
from phis_lab.engine.callbacks.step_timeout import StepTimeoutError
from phis_lab.guards import TeacherError
from phis_lab.losses import MSE
from phis_lab.runs import read_record

SECONDS = 1.0


class Endless(MSE):
    """Comes to no end in its third call."""

    calls = 0

    def forward(self, *tensors):
        self.calls += 1
        while self.calls > 2:
            time.sleep(0.01)
        return super().forward(*tensors)


def test_an_arm_that_hangs_is_its_own_failure(tmp_path: Path, whole_runs: WholeRuns) -> None:
    before = signal.getsignal(signal.SIGALRM)
    arms = {"endless": lambda pool: make_arm(pool, loss=Endless()), "phis": ARMS["phis"]}
    train_group(make_group(tmp_path, arms, step_timeout=SECONDS))
    failure = read_record(tmp_path / "endless" / "result.json").failure
    assert failure is not None
    assert "a step had not ended after trainer.step_timeout=1 seconds; it was at " in failure
    assert "test_step_timeout.py, line " in failure
    assert_same_run(tmp_path / "phis", whole_runs.solo("phis", ARMS["phis"], views=None))
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_teacher_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatchTeacher, "features", lambda self, x: time.sleep(60))
    with pytest.raises(TeacherError, match=r"teacher 'quiet' \(PatchTeacher\) raised StepTimeoutError: a step had not"):
        train_group(make_group(tmp_path, {"phis": ARMS["phis"]}, step_timeout=SECONDS))


def test_images_that_do_not_come_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = make_group(tmp_path, {"phis": ARMS["phis"]}, step_timeout=SECONDS)
    own = BatchLoader.__iter__

    def stuck(self):
        for number, batch in enumerate(own(self)):
            if number == 3:
                time.sleep(60)
            yield batch

    monkeypatch.setattr(BatchLoader, "__iter__", stuck)
    with pytest.raises(StepTimeoutError, match=r"it was at .*test_step_timeout\.py"):
        train_group(group)


OUTSIDE = """
import ctypes, runpy, sys
timeout = runpy.run_path(sys.argv[1])["StepTimeout"](0.2)
timeout.start()
mutex = ctypes.create_string_buffer(64)
for _ in range(2):
    ctypes.CDLL(None).pthread_mutex_lock(mutex)  # the second time it waits for ever, whatever signals come
"""


def test_what_hangs_outside_of_python_ends_with_the_stacks() -> None:
    command = [sys.executable, "-c", OUTSIDE, step_timeout.__file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Timeout (0:00:00.6" in done.stderr
    assert 'File "<string>", line 7' in done.stderr
