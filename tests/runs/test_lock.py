"""One process fills a run's folder at a time; a killed one lets it go."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from phis_lab.runs.lock import LOCK_FILE, RunLockedError, run_lock

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import os, sys
from pathlib import Path
from phis_lab.runs.lock import run_lock
with run_lock(Path(sys.argv[1])):
    if os.fork() == 0:  # as a data loader does; it outlives a killed parent
        print(os.getpid(), flush=True)
        sys.stdin.read()
        os._exit(0)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "study" / "seed0"


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder, and has a worker."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_a_second_process_is_told_who_holds_the_folder(holder: subprocess.Popen[str], folder: Path) -> None:
    with (
        pytest.raises(RunLockedError, match=rf"seed0 is in use by process {holder.pid} of .+ on .+ since 20"),
        run_lock(folder),
    ):
        pytest.fail("two processes hold one folder")
    assert (folder / LOCK_FILE).exists()


def test_the_lock_of_a_killed_process_is_taken_over_while_its_worker_lives(
    holder: subprocess.Popen[str], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with caplog.at_level("INFO"), run_lock(folder):
        assert json.loads((folder / LOCK_FILE).read_text())["process"] == os.getpid()
    assert f"was left by process {holder.pid} of" in caplog.text


def test_what_another_host_or_a_crash_wrote_into_the_file_does_not_lock(folder: Path) -> None:
    folder.mkdir(parents=True)
    for content in (json.dumps({"user": "x", "host": "far", "process": 1, "started": "then"}), "", "{", "[]"):
        (folder / LOCK_FILE).write_text(content)
        with run_lock(folder):
            pass
    assert folder.parent.exists()


@pytest.mark.parametrize("kept", [True, False])
def test_only_what_came_into_the_folder_stays(folder: Path, kept: bool) -> None:
    folder.parents[1].mkdir()
    with run_lock(folder):
        if kept:
            (folder / "config.yaml").touch()
    assert [path.name for path in folder.glob("*")] == (["config.yaml"] if kept else [])
    assert folder.parent.exists() == kept
    assert folder.parents[1].exists()


def test_a_lock_is_held_once_within_a_process_too(folder: Path) -> None:
    with run_lock(folder), pytest.raises(RunLockedError, match=f"process {os.getpid()} of"), run_lock(folder):
        pytest.fail("one folder is held twice")
    with run_lock(folder):
        pass


def test_further_processes_of_a_run_do_not_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_lock(folder):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with run_lock(folder):
            pass
        assert (folder / LOCK_FILE).exists()


def test_a_file_system_without_locks_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(lock: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_lock(folder):
        pass
    assert "knows no locks; do not start the same run twice at once" in caplog.text


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ValueError, match=r"seed0 cannot be written: Not a directory"),
        run_lock(tmp_path / "file" / "seed0"),
    ):
        pass


@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path, there: bool) -> None:
    mine = tmp_path / "mine"
    if there:
        mine.write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(mine)
    with pytest.raises(ValueError, match="cannot be written"), run_lock(tmp_path / "run"):
        pass
    assert (mine.read_text() if mine.exists() else None) == ("precious" if there else None)
