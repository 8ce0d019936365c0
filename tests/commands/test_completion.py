"""What shells offer, for `run.py` by Hydra's scripts and for `phis-lab` by its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from phis_lab.cli import app
from phis_lab.commands.completion import glued, typed
from phis_lab.commands.train import main
from phis_lab.config.completion import offers
from phis_lab.config.option_files import CONF, options


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("experiment=phis/ph", ["experiment=phis/phis"]),
        ("experiment=", [f"experiment={name}" for name in options("experiment", [CONF])]),
        ("normalizer=ph", ["normalizer=phis"]),
        ("exper", ["experiment="]),
        ("normalizer=phis optimizer.l", ["optimizer.lr="]),
        ("experiment=phis/mse balancer=ada", ["balancer=adaloss"]),
    ],
)
def test_hydras_scripts_offer_options_in_folders_too(
    line: str, offered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", f"python run.py {line}")
    main(["-sc", "query=bash"])
    assert capsys.readouterr().out.split() == offered


def test_what_can_only_become_one_group_is_followed(tmp_path: Path) -> None:
    assert offers("normali") == ["normalizer.", "normalizer="]
    assert offers("exper") == [f"experiment={name}" for name in options("experiment", [CONF])]
    assert offers("evaluation.data=cif") == ["evaluation.data=cifar10"]
    assert offers("task=o", ["normalizer=phis"]) == ["task=ood"]
    assert offers("nothing") == []
    assert offers("optimizer.l", ["normalizer=typo"]) == []
    (tmp_path / "normalizer").mkdir()
    (tmp_path / "normalizer" / "mine.yaml").write_text("_target_: phis_lab.normalizers.Identity\n")
    assert offers("normalizer=mi", config_dir=str(tmp_path)) == ["normalizer=mine"]
    assert offers("normalizer=mi", config_dir="/no/such/folder") == []


def bash(line: str, cursor: int | None = None) -> list[str]:
    """What the script of `--install-completion bash` is answered, for words as bash breaks them."""
    words = line.split(" ")
    environment = {
        "_PHIS_LAB_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1 if cursor is None else cursor),
    }
    return CliRunner().invoke(app, [], env=environment, prog_name="phis-lab").output.split()


def test_bash_gets_what_follows_its_breaks() -> None:
    assert bash("phis-lab train normalizer = ph") == ["phis"]
    assert "phis/mse" in bash("phis-lab train experiment =")
    assert bash("phis-lab train experiment = phis/st") == ["phis/standardize"]
    assert "experiment=phis/mse" in bash("phis-lab train exper")
    assert "normalizer=" in bash("phis-lab train normalizer = phis ", 5)
    assert bash("phis-lab stats teachers = pocket_se") == ["pocket_set"]
    assert bash("phis-lab options normalizer = partial") == ["partial_whiten"]
    assert "normalizer=phis" in bash("phis-lab options norm")
    assert "train" in bash("phis-lab tra")


def test_other_shells_get_whole_words() -> None:
    environment = {"_PHIS_LAB_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "phis-lab train experiment=unic/f"}
    shown = CliRunner().invoke(app, [], env=environment, prog_name="phis-lab").output
    assert "experiment=unic/full" in shown


def test_words_are_put_together_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert glued(["a", "=", "b", "c", "@", "d.e", "=", ""]) == ["a=b", "c@d.e="]
    monkeypatch.setenv("COMP_WORDS", "phis-lab train 'open")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert typed("ignored") == ["train", "'open"]


def test_scripts_are_shown_without_anything_heavy() -> None:
    code = (
        "import sys; from phis_lab.cli import app\nsys.argv = ['phis-lab', '--show-completion', 'bash']\n"
        "try:\n    app(prog_name='phis-lab')\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'hydra'} & set(sys.modules)"
    )
    told = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # the tests may run below no shell
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=told)
    assert "_PHIS_LAB_COMPLETE=complete_bash" in done.stdout
