"""`phis-lab options` as one types it."""

import json
import subprocess
import sys

from typer.testing import CliRunner

from phis_lab.cli import app


def run(*arguments: str) -> tuple[str, str, int]:
    result = CliRunner().invoke(app, ["options", *arguments], env={"COLUMNS": "150"})
    return result.stdout, result.stderr, result.exit_code


def test_groups_options_and_arguments_are_shown() -> None:
    shown, _, code = run()
    assert code == 0
    assert "How a prediction is compared with its target." in shown
    assert "mse (usual)" in shown
    shown, _, _ = run("normalizer")
    assert "phis (usual)" in shown
    assert "Between scaling (gamma 0) and whitening (gamma 1)." in shown
    shown, _, _ = run("normalizer=partial_whiten")
    for words in ("PartialWhiten", "normalizer.gamma=VALUE", "how far to whiten", "0.5", "partial_whiten.py:"):
        assert words in shown
    assert "of the initialisation" in run("seed")[0]


def test_one_document_is_printed() -> None:
    document = json.loads(run("--json")[0])
    assert document["groups"][0]["name"] == "normalizer"
    document = json.loads(run("data", "--json")[0])
    assert (document["group"], document["usual"]) == ("data", "fashion_mnist")
    both = json.loads(run("normalizer", "seed", "--json")[0])["answers"]
    assert [list(answer) for answer in both] == [["group", "about", "usual", "options"], ["others"]]
    (one, other) = json.loads(run("loss=mse,unic", "--json")[0])["options"]
    assert (one["option"], other["option"]) == ("mse", "unic")


def test_lists_import_nothing_heavy() -> None:
    code = (
        "import sys; from phis_lab.cli import app\n"
        "for words in ([], ['normalizer'], ['normalizer=phi']):\n"
        "    try:\n        app(['options', *words], prog_name='phis-lab')\n    except SystemExit:\n        pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_a_typo_ends_with_code_one_and_nothing_on_stdout() -> None:
    shown, said, code = run("normalizer=phi", "--json")
    assert (shown, code) == ("", 1)
    assert "Did you mean 'phis'?" in said
