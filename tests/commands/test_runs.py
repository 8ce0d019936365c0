"""`phis-lab runs` as one types it."""

import json
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from synthetic_records import percent, record
from typer.testing import CliRunner

from phis_lab.cli import app
from phis_lab.runs import write_record
from phis_lab.runs.lock import run_lock


def run(*arguments: object, **options: str) -> Result:
    return CliRunner().invoke(app, ["runs", *map(str, arguments)], env={"COLUMNS": "200"}, **options)


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    for method, seed, changes in (("phis", 0, {}), ("phis", 1, {"status": "failed", "failure": "NaN"}), ("mse", 0, {})):
        folder = tmp_path / "study" / method / f"seed{seed}"
        folder.mkdir(parents=True)
        config = {"normalizer": {"gamma": 0.5 if method == "phis" else 1}, "student": {}, "teachers": {}, "seed": seed}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        metrics = {"knn/accuracy": percent(60 + seed + (method == "mse"))}
        write_record(folder, record(method=method, seed=seed, metrics=metrics, teacher_metrics={}, **changes))
    return tmp_path


def names(result: Result) -> list[str]:
    document = json.loads(result.stdout)
    return [Path(each["folder"]).relative_to(document["root"]).as_posix() for each in document["runs"]]


def test_runs_are_listed(outputs: Path) -> None:
    result = run(outputs)
    assert result.exit_code == 0
    for words in ("study/phis/seed0", "complete", "knn/accuracy 60 %", "study/phis/seed1 failed: NaN"):
        assert words in result.stdout
    (outputs / "study" / "mse" / "seed0" / "result.json").write_text("{")
    assert "is not whole JSON" in run(outputs).stdout


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--where", "normalizer=phis"], ["study/phis/seed0", "study/phis/seed1"]),
        (["--where", "normalizer=phis", "--where", "seed=1"], ["study/phis/seed1"]),
        (["--where", "normalizer!=phis"], ["study/mse/seed0"]),
        (["--where", "normalizer=ph*", "--status", "complete"], ["study/phis/seed0"]),
        (["--where", "normalizer.gamma=1.0"], ["study/mse/seed0"]),
        (["--where", "experiment=null", "--status", "failed"], ["study/phis/seed1"]),
        (["--status", "running"], []),
        (["--where", "method=mse,nothing", "--where", "seed=0, 1"], ["study/mse/seed0"]),
        (["--status", "failed", "--status", "complete", "--where", "method = mse"], ["study/mse/seed0"]),
    ],
)
def test_runs_are_chosen(arguments: list[str], found: list[str], outputs: Path) -> None:
    assert names(run(outputs, "--json", *arguments)) == found


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--where", "normaliser=phis"], "Did you mean normalizer?"),
        (["--where", "phis"], "KEY=VALUE or KEY!=VALUE is wanted"),
        (["--compare", "study/phis/seed0", "study/nowhere"], "there is no such folder"),
        (["--compare", "study/phis", "study/mse/seed0"], "is not one run; it holds 2"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(arguments: list[str], says: str, outputs: Path) -> None:
    result = run(outputs, "--json", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr


def test_a_value_that_no_run_has_is_told_with_those_that_there_are(outputs: Path) -> None:
    result = run(outputs, "--where", "normalizer=phi")
    assert result.exit_code == 0
    assert "No run meets normalizer=phi; normalizer is mse, phis." in result.stdout


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "nowhere does not exist; name the folder" in run(tmp_path / "nowhere").stderr


def test_two_runs_are_compared(outputs: Path) -> None:
    pair = ("--compare", "study/phis/seed0", outputs / "study" / "mse" / "seed0")
    document = json.loads(run(outputs, "--json", *pair).stdout)
    assert document["options"] == [{"name": "normalizer.gamma", "first": 0.5, "second": 1}]
    assert document["metrics"] == [{"name": "knn/accuracy", "first": 60.0, "second": 61.0}]
    shown = run(outputs, *pair).stdout
    assert "normalizer.gamma" in shown
    assert "+1" in shown
    (outputs / "study" / "phis" / "seed0" / "config.yaml").write_text("[")
    assert "Options cannot be compared" in run(outputs, *pair).stdout


def test_runs_are_removed_after_asking(outputs: Path) -> None:
    study = outputs / "study"
    result = run(outputs, "--where", "seed=0", "--remove", input="n\n")
    assert result.exit_code == 1
    assert "Remove 2 of 2 runs" in result.output
    assert len(names(run(outputs, "--json"))) == 3
    with run_lock(study / "mse" / "seed0"):
        result = run(outputs, "--where", "seed=0", "--remove", "--yes", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["removed"] == [str(study / "phis" / "seed0")]
    assert "is in use by" in document["kept"][0]
    assert run(outputs, "--remove", input="y\n").exit_code == 0
    assert list(outputs.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["--compare", "a", "b", "--remove"], ["--compare", "a", "b", "--status", "failed"], ["--yes"]],
)
def test_options_that_do_not_go_together_are_refused(outputs: Path, arguments: list[str]) -> None:
    assert run(outputs, *arguments).exit_code == 2


def test_a_document_tells_times_as_programs_read_them(outputs: Path) -> None:
    for row in json.loads(run(outputs, "--json").stdout)["runs"]:
        assert datetime.fromisoformat(row["updated"]).tzinfo is not None
        assert "T" in row["updated"]
