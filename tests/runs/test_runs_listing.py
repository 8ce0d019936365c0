"""What is told of runs from their folders alone, and which of them can be removed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from synthetic_records import record

from phis_lab.runs import RunProgress, write_progress, write_record
from phis_lab.runs.listing import ListedRun, list_runs, metrics_of, option_of
from phis_lab.runs.lock import LOCK_FILE, owner_of, run_lock
from phis_lab.runs.progress import now
from phis_lab.runs.removal import remove_run, why_kept

CONFIG = {
    "seed": 3,
    "label": None,
    "normalizer": {"_target_": "phis_lab.normalizers.PhiS"},
    "student": {"image_size": 32},
    "teachers": {},
    "optimizer": {"lr": 1e-3},
    "trainer": {"max_steps": 200},
}


def begun(folder: Path, step: int | None = 40) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    if step is not None:
        progress = RunProgress(
            name="a_study",
            method="phis",
            seed=3,
            step=step,
            max_steps=200,
            images_per_s=1.0,
            metrics={"knn/accuracy": 0.5},
            units={"knn/accuracy": "fraction"},
            updated=now(),
            choices={"normalizer": "phis"},
        )
        write_progress(folder, progress)
    return folder


def ended(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    write_record(folder, record(**changes))
    return folder


def listed(root: Path) -> dict[str, ListedRun]:
    runs, closed = list_runs(root)
    assert closed == []
    return {run.folder.relative_to(root).as_posix(): run for run in runs}


def test_every_state_is_told(tmp_path: Path) -> None:
    ended(tmp_path / "s" / "complete" / "seed0", method="phis")
    ended(tmp_path / "s" / "failed" / "seed0", status="failed", failure="NaN [at] step 3")
    begun(tmp_path / "s" / "stopped" / "seed3")
    begun(tmp_path / "s" / "young" / "seed3", step=None)
    torn = begun(tmp_path / "s" / "torn" / "seed3")
    (torn / "result.json").write_text('{"schema_version": 2, "na')
    with run_lock(begun(tmp_path / "s" / "running" / "seed3")):
        runs = listed(tmp_path / "s")
    assert {name.partition("/")[0]: run.state for name, run in runs.items()} == {
        "complete": "complete",
        "failed": "failed",
        "running": "running",
        "stopped": "stopped",
        "torn": "damaged",
        "young": "stopped",
    }
    assert runs["failed/seed0"].cause == "NaN [at] step 3"
    assert f"process {os.getpid()} of " in str(runs["running/seed3"].owner)
    stopped, young = runs["stopped/seed3"], runs["young/seed3"]
    assert (stopped.step, stopped.max_steps, stopped.method, stopped.study) == (40, 200, "phis", "a_study")
    assert (young.step, young.max_steps, young.method, young.seed) == (None, 200, "young", 3)
    assert stopped.score == ("knn/accuracy", 0.5, "fraction")
    assert runs["complete/seed0"].score is not None
    assert runs["complete/seed0"].score[0] == "knn/accuracy"
    assert runs["complete/seed0"].bytes == sum(
        file.stat().st_size for file in (tmp_path / "s" / "complete").rglob("*.*")
    )
    assert "result.json is not whole JSON" in runs["torn/seed3"].damage[0]


@pytest.mark.parametrize(
    ("name", "content", "state", "says"),
    [
        ("result.json", b"", "damaged", "is not whole JSON"),
        ("result.json", b"\xff\xfe\x00", "damaged", "is not whole JSON"),
        ("result.json", b"[]", "damaged", "schema version"),
        ("result.json", b'{"schema_version": 1}', "damaged", "schema version"),
        ("progress.json", b"{", "damaged", "progress.json cannot be read"),
        ("progress.json", b"\xff", "damaged", "progress.json cannot be read"),
        ("config.yaml", b"a: [", "damaged", "config.yaml is damaged"),
        ("config.yaml", b"", "damaged", "is not the configuration of a run"),
        ("checkpoint.pt", b"PK", "damaged", "checkpoint.pt is cut off"),
    ],
)
def test_damage_is_named_and_does_not_stop_the_list(
    name: str, content: bytes, state: str, says: str, tmp_path: Path
) -> None:
    run = begun(tmp_path / "a" / "seed3")
    (run / name).write_bytes(content)
    begun(tmp_path / "b" / "seed3")
    runs = listed(tmp_path)
    assert (runs["a/seed3"].state, runs["b/seed3"].state) == (state, "stopped")
    assert any(says in sentence for sentence in runs["a/seed3"].damage)


def test_pipes_are_not_read_and_control_characters_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from phis_lab.commands.runs import find, show

    run = ended(tmp_path / "a" / "seed0", method="\x1b]0;mine\x07[red]", status="failed", failure="\x1b[2J")
    os.mkfifo(run / "progress.json")
    os.mkfifo(begun(tmp_path / "b" / "seed3") / "result.json")
    (tmp_path / "c").mkdir()
    os.mkfifo(tmp_path / "c" / "config.yaml")
    assert [each.state for each in listed(tmp_path).values()] == ["failed", "stopped"]
    show(find(tmp_path))
    shown = capsys.readouterr().out
    assert "\x1b]0" not in shown
    assert "\x1b[2J" not in shown
    assert "\\u001b]0;mine\\u0007[red]" in shown


def test_a_record_stands_though_its_checkpoint_is_damaged(tmp_path: Path) -> None:
    run = ended(tmp_path / "a" / "seed0")
    (run / "checkpoint.pt").write_bytes(b"")
    (only,) = listed(tmp_path).values()
    assert (only.state, only.damage) == ("complete", [f"{run / 'checkpoint.pt'} is cut off"])


def test_other_programs_files_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("defaults: []\n")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / LOCK_FILE).write_text("")
    assert listed(tmp_path) == {}


def test_links_are_not_followed(tmp_path: Path) -> None:
    elsewhere = ended(tmp_path / "elsewhere" / "seed0")
    root = tmp_path / "outputs"
    root.mkdir()
    (root / "link").symlink_to(elsewhere.parent)
    (root / "loop").symlink_to(root)
    assert listed(root) == {}
    (root / "one").symlink_to(elsewhere)
    ((only,), _) = list_runs(root / "one")
    assert "is a link" in str(why_kept(only))


def test_options_are_asked_by_column_choice_and_dotted_name(tmp_path: Path) -> None:
    begun(tmp_path / "a" / "seed3")
    (run,) = listed(tmp_path).values()
    asked = {
        key: option_of(run, key)
        for key in ("seed", "status", "normalizer", "optimizer.lr", "label", "paths", "nothing")
    }
    assert asked == {
        "seed": "3",
        "status": "stopped",
        "normalizer": "phis",
        "optimizer.lr": "0.001",
        "label": "phis",
        "paths": None,
        "nothing": None,
    }
    assert metrics_of(run.folder) == {"knn/accuracy": 0.5}


def test_a_run_is_removed_with_what_it_wrote_and_the_empty_folders_above(tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    run = ended(root / "study" / "phis" / "seed0")
    other = ended(root / "study" / "mse" / "seed0")
    for name in ("checkpoint.pt", ".result.json.host-1.part", "report.md", ".checkpoint.pt.new"):
        (run / name).write_text("")
    (run / "figures").mkdir()
    remove_run(listed(root)["study/phis/seed0"], root)
    assert [path.name for path in (root / "study").iterdir()] == ["mse"]
    remove_run(listed(root)["study/mse/seed0"], root)
    assert not other.exists()
    assert list(root.iterdir()) == []


def test_what_is_in_use_not_ours_or_not_alone_is_kept(tmp_path: Path) -> None:
    with run_lock(begun(tmp_path / "used" / "seed3")):
        used = listed(tmp_path)["used/seed3"]
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "result.json").write_text('{"score": 1}')
    begun(tmp_path / "full" / "seed3").joinpath("thesis.tex").write_text("")
    runs = listed(tmp_path)
    assert "is in use by process" in str(why_kept(used))
    assert "delete it by hand" in str(why_kept(runs["stranger"]))
    assert "also holds thesis.tex" in str(why_kept(runs["full/seed3"]))
    for run in (used, runs["stranger"], runs["full/seed3"]):
        with pytest.raises(ValueError, match=r"in use|by hand|thesis"):
            remove_run(run, tmp_path)
    free = runs["used/seed3"]
    with run_lock(free.folder), pytest.raises(ValueError, match="is in use"):
        remove_run(free, tmp_path)
    assert free.folder.is_dir()


def test_a_lock_is_told_while_its_process_lives(tmp_path: Path) -> None:
    run = begun(tmp_path / "a" / "seed3")
    assert owner_of(run) is None
    code = (
        "import sys, time; from pathlib import Path; from phis_lab.runs.lock import run_lock\n"
        "with run_lock(Path(sys.argv[1])):\n    print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(run)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert f"process {process.pid} of " in str(owner_of(run))
        process.kill()
    assert (run / LOCK_FILE).exists()
    assert json.loads((run / LOCK_FILE).read_text())["process"] == process.pid
    assert owner_of(run) is None
    (run / LOCK_FILE).unlink()
    (run / LOCK_FILE).symlink_to(tmp_path / "target")
    assert owner_of(run) is None
