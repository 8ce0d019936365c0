"""Runs on a Slurm cluster of one machine: what `srun`, `sbatch` and submitit start, and what goes back to the queue."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import asked, cluster, missing

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing()), reason=f"Slurm is not installed: {', '.join(missing())} not found"),
]

ROOT = Path(__file__).resolve().parents[2]
STEPS = 16
RUN = ["debug=smoke", f"trainer.max_steps={STEPS}", "online.steps=4", "online.warmup_steps=2", "evaluation=matching"]
RUN += ["~teachers.sam_h", "data.batch_size=8", "logger=none"]
TWO = ["strategy=ddp", "strategy.devices=2"]
FAR_ENOUGH = "Teacher statistics are frozen after 4 steps"
PATIENCE_S = 400


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """The environment in which commands find the cluster."""
    with tempfile.TemporaryDirectory(prefix="slurm") as place, cluster(Path(place)) as environment:
        paths = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
        yield environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}


@pytest.fixture(scope="module")
def undisturbed(slurm: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of two processes of which the first starts the other: a script that does not call `srun`."""
    folder = tmp_path_factory.mktemp("undisturbed")
    script = f"#!/bin/bash\nexec {_command(*RUN, *TWO, 'normalizer=phis', f'paths.outputs={folder}')}\n"
    job = _submit(slurm, folder, script)
    _until(lambda: _state(slurm, job), "COMPLETED", folder)
    return _only_record(folder)


def test_a_warned_job_goes_back_to_the_queue_and_on_to_the_same_record(
    slurm: dict[str, str], undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    script = f"#!/bin/bash\nsrun {_command(*RUN, *TWO, 'normalizer=phis', f'paths.outputs={tmp_path}')}\n"
    job = _submit(slurm, tmp_path, script)
    _disturb(slurm, tmp_path / "log", "scancel", "--signal=USR1", job)
    _until(lambda: _state(slurm, job), "COMPLETED", tmp_path)
    log = (tmp_path / "log").read_text()
    assert f"Job {job} is in Slurm's queue again and will go on from the checkpoint." in log
    assert re.search(r"Going on from step \d+\.", log)
    assert "Restarts=1" in asked(slurm, "scontrol", "show", "job", job)
    _assert_same(_only_record(tmp_path), undisturbed)


def test_another_number_of_tasks_is_refused_with_what_to_set(slurm: dict[str, str], tmp_path: Path) -> None:
    command = ["srun", "--ntasks-per-node=1", sys.executable, "run.py", *RUN, *TWO, f"paths.outputs={tmp_path}"]
    done = subprocess.run(command, env=slurm, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "choose strategy=single, or start others with --ntasks-per-node=2" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("processes", "disturb"),
    [(2, ["scancel", "--signal=USR2"]), (1, ["scontrol", "requeue"])],
    ids=["two-warned", "one-pre-empted"],
)
def test_the_jobs_of_a_submitit_sweep_are_groups_of_their_own_and_go_on(
    processes: int, disturb: list[str], slurm: dict[str, str], undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    launcher = ["hydra/launcher=submitit_slurm", f"hydra.launcher.tasks_per_node={processes}"]
    launcher += ["hydra.launcher.timeout_min=20", "hydra.launcher.max_num_timeout=1"]
    strategy = TWO if processes > 1 else []
    command = [sys.executable, "run.py", "-m", *launcher, *RUN, *strategy, "normalizer=phis,identity"]
    with (tmp_path / "sweep").open("wb") as said:
        sweep = subprocess.Popen([*command, f"paths.outputs={tmp_path}"], env=slurm, cwd=ROOT, stdout=said, stderr=said)
    try:
        jobs = tmp_path / "runs" / ".submitit"
        first = _until(lambda: next(iter(jobs.glob("*_0/*_0_0_log.*")), None), None, tmp_path).parent.name
        _disturb(slurm, jobs / first, *disturb, first)
        assert sweep.wait(timeout=PATIENCE_S) == 0, (tmp_path / "sweep").read_text()
    finally:
        sweep.kill()
    records = {record["choices"]["normalizer"]: record for record in _records(tmp_path)}
    assert set(records) == {"phis", "identity"}
    assert all(record["status"] == "complete" and record["steps"] == STEPS for record in records.values())
    assert "Going on from step" in _logged(jobs / first)
    assert all(record["command"].startswith("python run.py debug=smoke ") for record in records.values())
    if processes > 1:
        _assert_same(records["phis"], undisturbed)


def _command(*overrides: str) -> str:
    return " ".join([sys.executable, str(ROOT / "run.py"), *(f"'{each}'" for each in overrides)])


def _submit(slurm: dict[str, str], folder: Path, script: str) -> str:
    """The number of a job of two tasks on one machine, which appends to `log`."""
    options = ["--ntasks-per-node=2", "--nodes=1", "--requeue", "--open-mode=append", f"--output={folder / 'log'}"]
    command = ["sbatch", "--parsable", f"--chdir={ROOT}", *options]
    done = subprocess.run(command, input=script, env=slurm, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _state(slurm: dict[str, str], job: str) -> str:
    found = re.search(r"JobState=(\w+)", asked(slurm, "scontrol", "show", "job", job))
    return found[1] if found else "gone"


def _disturb(slurm: dict[str, str], log: Path, *command: str) -> None:
    """Run a command once the run has trained for some steps."""
    _until(lambda: FAR_ENOUGH in _logged(log), True, log)
    subprocess.run(command, env=slurm, check=True)


def _logged(place: Path) -> str:
    files = place.glob("*_log.*") if place.is_dir() else [place] if place.exists() else []
    return "\n".join(file.read_text(errors="replace") for file in files)


def _until(asks: Callable[[], Any], wanted: Any, folder: Path) -> Any:
    """Ask again and again until the answer is the wanted one; None is any that is not None."""
    end = time.monotonic() + PATIENCE_S
    while (answer := asks()) is None or answer != (answer if wanted is None else wanted):
        if time.monotonic() > end or answer in {"FAILED", "CANCELLED", "TIMEOUT", "gone"}:
            pytest.fail(f"{answer} and not {wanted}:\n{_logged(folder / 'log')[-4000:]}")
        time.sleep(0.2)
    return answer


def _records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("runs/*/*/result.json"))]


def _only_record(folder: Path) -> dict[str, Any]:
    (record,) = _records(folder)
    return record


def _assert_same(record: dict[str, Any], other: dict[str, Any]) -> None:
    """What was measured is equal bit for bit."""
    for name in ("status", "steps", "metrics", "teacher_metrics", "normalizers", "history"):
        assert record[name] == other[name], name
