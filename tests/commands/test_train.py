"""The door of `run.py` and `phis-lab train`, in this process."""

import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from phis_lab.cli import app
from phis_lab.commands.train import main


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_a_refused_job_of_a_sweep_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "-m", "normalizer=phis,identity", "seed=0,1", "scale=paper", f"paths.outputs={tmp_path}/o")
    assert "The job normalizer=phis seed=0: data.root: no value is given" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--lr", "3"], "--lr: options of the configuration have no dashes"),
        (["--config-path", "x"], "own files: --config-dir DIR"),
        (["--cfg", "job", "-p", "nope"], "--package nope: the configuration has none of that name"),
        (["--cfg", "job", "normalizer=phi"], "Did you mean 'phis'?"),
        (["--help", "normalizer=phi"], "Did you mean 'phis'?"),
        (["--config-dir", "/no/such/folder"], "/no/such/folder does not exist"),
        (["-m", "normalizer=phis,identit"], "The job normalizer=identit: normalizer=identit: there is no such option"),
    ],
)
def test_a_wrong_command_line_is_told_in_a_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("normaliser=phis", "Did you mean 'normalizer'?"),
        ("normalizer=phi", "global_standardize"),
        ("optimizer.lrr=1", "Options of optimizer: "),
        ("normalizer=phis,identity", "--multirun"),
        ("optimizer.lr=fast", "optimizer.lr='fast'"),
        ("trainer.max_steps=0", "trainer.max_steps=0"),
        ("trainer.precision=half", "trainer.precision='half'"),
        ("normalizer=partial_whiten normalizer.gamma=3", "gamma"),
    ],
)
def test_bad_input_is_refused_by_name_and_nothing_is_written(
    argument: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(capsys, *argument.split(), f"paths.outputs={tmp_path}")
    assert not list(tmp_path.rglob("*.*"))


def test_outputs_that_are_a_file_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert f"{file} is a file" in refused(capsys, f"paths.outputs={file}")


def test_what_needs_no_class_is_told_without_torch() -> None:
    import subprocess

    for arguments in (["scale=paper"], ["-m", "loss=mse,typo"], ["normalizer=null"]):
        script = (
            f"import sys; sys.argv = ['run.py', *{arguments!r}]; from phis_lab.commands.train import main\n"
            "try:\n    main()\nexcept SystemExit as stop:\n    assert stop.code == 1\n"
            "assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_the_configuration_of_a_sweep_shows_its_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    main(["-m", "sweep=demo", "--cfg", "job"])
    shown = capsys.readouterr().out
    assert shown.startswith("# 3 jobs. Each of them has: ")
    assert "# 1: normalizer=standardize  ->  outputs/demo/standardize-mse-" in shown
    assert shown.count("\n---\n") == 3
    assert "_target_: phis_lab.normalizers.Standardize" in shown


def test_the_installed_program_is_the_same(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    main(["--cfg", "job", "normalizer=identity"])
    shown = capsys.readouterr().out
    assert CliRunner().invoke(app, ["train", "--cfg", "job", "normalizer=identity"]).output == shown
    assert "normalizer: batch_standardize, " in CliRunner().invoke(app, ["train", "--help"]).output
    result = CliRunner().invoke(app, ["train", "normalizer=phi"])
    assert result.exit_code == 1
    assert "Did you mean 'phis'?" in result.stderr
    monkeypatch.setattr(sys, "argv", ["/usr/bin/phis-lab", "train", "-sc", "query=bash"])
    monkeypatch.setenv("COMP_LINE", "phis-lab train normalizer=ph")
    assert CliRunner().invoke(app, ["train", "-sc", "query=bash"]).output.split() == ["normalizer=phis"]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/phis-lab", "train", "-sc", "install=bash"])
    script = CliRunner().invoke(app, ["train", "-sc", "install=bash"]).output
    assert "$helper train -sc query=bash" in script
    assert shlex.split(script.splitlines()[-1])[-1] == "phis-lab"


def test_every_command_that_composes_takes_a_folder_of_own_files(tmp_path: Path) -> None:
    own = tmp_path / "own" / "teachers" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [{/teacher@one: nope}]\n")
    for command in (["stats"], ["cache"]):
        result = CliRunner().invoke(app, [*command, "--config-dir", str(tmp_path / "own"), "teachers=mine"])
        assert result.exit_code == 1
        assert "teacher=nope: there is no such option of teacher" in result.stderr
