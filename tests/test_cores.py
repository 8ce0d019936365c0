"""Threads that wait for each other leave the cores to others, unless the user wants it otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from phis_lab import cores
from phis_lab.cores import SPINS, cores_of_quota, share_cores

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # so that what is set below is undone
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("text", "found"),
    [("max 100000", None), ("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1), ("", None), ("1 0", None)],
)
def test_the_quota_of_a_container_is_whole_cores(text: str, found: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cores_of_quota(tmp_path / "cpu.max") == found


def test_threads_are_no_more_than_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text("100000 100000")
    monkeypatch.setattr(cores, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(cores, "cores_of_process", lambda: 8)
    share_cores()
    assert (os.environ["OMP_NUM_THREADS"], os.environ["GOMP_SPINCOUNT"]) == ("1", SPINS)


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_what_the_user_chose_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "ACTIVE")
    before = dict(os.environ)
    share_cores()
    assert dict(os.environ) | {"OMP_NUM_THREADS": ""} == before | {"OMP_NUM_THREADS": ""}


@pytest.mark.parametrize(
    ("door", "arguments"),
    [("runpy.run_path('run.py'", ["--cfg", "job"]), ("runpy.run_module('phis_lab'", ["report", "/nowhere"])],
)
def test_every_door_chooses_before_torch_is_imported(door: str, arguments: list[str]) -> None:
    script = f"""if True:
        import atexit, os, runpy, sys
        atexit.register(lambda: print("chosen", os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules))
        sys.argv = ["program", *{arguments}]
        {door}, run_name="__main__")
    """
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.endswith(f"chosen {SPINS} False\n"), done.stdout + done.stderr
