"""`run.py` as a user types it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "run.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=environment(), check=False, timeout=240
    )


def results(folder: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("result.json"))]


def test_showing_a_configuration_imports_nothing_heavy() -> None:
    script = "import runpy, sys; sys.argv = ['run.py', '--cfg', 'job']; runpy.run_path('run.py', run_name='__main__'); "
    watch = "print(sorted({'torch', 'lightning', 'timm', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script + watch], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "phis_lab.normalizers.PhiS" in done.stdout


def test_help_lists_groups_and_examples() -> None:
    text = run("--help").stdout
    assert "normalizer: batch_standardize, center_scale" in text
    assert "python run.py -m sweep=pocket_methods" in text


def test_bad_input_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    done = run("optimizer.lr=fast", f"paths.outputs={tmp_path}")
    assert done.returncode == 1
    assert "optimizer.lr='fast'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.*"))


def test_a_stopped_sweep_goes_on_by_the_same_command_off_one_teacher_pass(tmp_path: Path) -> None:
    arguments = [
        "-m", "debug=smoke", "normalizer=phis,identity", f"paths.outputs={tmp_path}",
        "evaluation.every=null", "evaluation.train_images=40", "evaluation.test_images=20", "data.batch_size=8",
        "evaluation.matching_images=8", "trainer.max_steps=40", "trainer.checkpoint_every=10000",
    ]  # fmt: skip
    command = [sys.executable, "run.py", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    started = subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, **pipes)
    deadline = time.monotonic() + 120
    while not (rows := [p for p in tmp_path.rglob("metrics.csv") if len(p.read_text().splitlines()) > 8]):
        assert time.monotonic() < deadline, started.communicate()[0]
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    said = started.communicate(timeout=60)[0]
    assert started.returncode == 130, said
    assert "2 jobs in 1 groups; 2 of them share a teacher pass." in said
    assert "The same command goes on from there." in said
    assert (rows[0].parent / "checkpoint.pt").exists()
    assert results(tmp_path) == []
    again = run(*arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Going on from step" in again.stdout
    records = results(tmp_path)
    assert {record["steps"] for record in records} == {40}
    assert sorted(str(record["method"]) for record in records) == ["identity", "phis"]
    steps = [int(line.split(",")[0]) for line in rows[0].read_text().splitlines()[1:]]
    assert steps == sorted(set(steps))
