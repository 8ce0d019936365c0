"""Exit codes and documents are the same for all commands."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from synthetic_records import record, write_study
from typer.testing import CliRunner

from phis_lab.cli import app
from phis_lab.refusals import told
from phis_lab.terminal import as_plain

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
REFUSED = {
    "train": ["normalizer=typo"],
    "options": ["normalizer=typo"],
    "doctor": None,
    "runs": ["/no/such/folder"],
    "report": ["/no/such/folder"],
    "dashboard": ["/no/such/folder"],
    "plan": ["normalizer=typo"],
    "cache": ["normalizer=typo"],
    "stats": ["normalizer=typo"],
    "figures": ["/no/such/folder"],
    "export": ["/no/such/folder", "--out", "/no/such/student"],
    "evaluate": ["/no/such/folder", "task=ood"],
}
"""A mistake of each command; doctor refuses nothing."""


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_every_command_is_among_them() -> None:
    assert COMMANDS.keys() == REFUSED.keys()


@pytest.mark.parametrize("command", [name for name, mistake in REFUSED.items() if mistake])
def test_a_mistake_is_code_one_and_a_sentence_on_standard_error(command: str) -> None:
    result = invoke(command, *(REFUSED[command] or []))
    assert result.exit_code == 1
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [name for name in REFUSED if name != "train"])
def test_every_result_can_be_a_document_and_an_unknown_option_is_code_two(command: str) -> None:
    assert "--json" in {text for parameter in COMMANDS[command].params for text in parameter.opts}
    assert invoke(command, "--no-such-option").exit_code == 2
    if mistake := REFUSED[command]:
        assert invoke(command, *mistake, "--json").stdout == ""


@pytest.mark.parametrize("command", [name for name, mistake in REFUSED.items() if mistake])
def test_ctrl_c_is_code_130_without_a_traceback(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {
        "train": "phis_lab.commands.train.composer",
        "options": "phis_lab.commands.options.options",
        "runs": "phis_lab.commands.runs.find",
        "report": "phis_lab.reports.report",
        "dashboard": "phis_lab.commands.dashboard.dashboard_of",
        "plan": "phis_lab.commands.plan.plan",
        "cache": "phis_lab.commands.cache.fill_stores",
        "stats": "phis_lab.survey.survey",
        "figures": "phis_lab.figures.draw",
        "export": "phis_lab.commands.export.export_run",
        "evaluate": "phis_lab.commands.evaluate.evaluate_run",
    }

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(places[command], interrupted)
    result = invoke(command, *(REFUSED[command] or []))
    assert result.exit_code == 130
    assert "Stopped" in result.stderr


def test_a_report_is_one_document_of_strict_json(tmp_path: Path) -> None:
    root = write_study(tmp_path, [record(m, s, float(m == "phis")) for m in ("identity", "phis") for s in (0, 1)])

    def refuse(word: str) -> None:
        raise AssertionError(word)

    result = invoke("report", str(root), "--format", "csv", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout, parse_constant=refuse)
    (study,) = document["studies"]
    assert study["methods"] == ["identity", "phis"]
    assert {"method", "seed", "metric", "value"} <= study["measurements"][0].keys()
    assert study["sheets"][0]["columns"][0] == "method"
    assert document["files"] == [str(root / "report.csv")]


def stored() -> list[object]:
    from phis_lab.teachers.store import TableReport

    return [TableReport("xfeat", "train", "2x2", "bfloat16", 40, 1000, {"spatial": float("nan")}, Path("store"))]


def surveyed() -> object:
    from phis_lab.reports.sheets import Cell, Sheet
    from phis_lab.survey.stats import Survey

    return Survey(
        (Sheet("Norms", "caption", ("teacher",), ((Cell("xfeat", strong=True),),)),), ("few images",), (Path("a.md"),)
    )


def drawn() -> object:
    from phis_lab.figures.drawing import Drawn

    return Drawn([Path("a.png")], ["1 needs a run"])


DOCUMENTS = {
    "cache": ("phis_lab.commands.cache.fill_stores", stored, ["teachers.store=x"], "stores"),
    "stats": ("phis_lab.survey.survey", surveyed, ["teachers=tiny_set"], "sheets"),
    "figures": ("phis_lab.figures.draw", drawn, [], "left_out"),
    "export": ("phis_lab.commands.export.export_run", lambda: [Path("student")], ["run", "--out", "x"], "files"),
    "evaluate": ("phis_lab.commands.evaluate.evaluate_run", record, ["run", "task=ood"], "metrics"),
}


@pytest.mark.parametrize("command", DOCUMENTS)
def test_nothing_but_the_document_is_on_standard_output(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, made, arguments, key = DOCUMENTS[command]

    def noisy(*_: object, **__: object) -> object:
        sys.stdout.write("noise")
        logging.getLogger("phis_lab").warning("a warning")
        return made()

    monkeypatch.setattr(place, noisy)
    result = invoke(command, *arguments, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[key]
    assert "noise" in result.stderr
    monkeypatch.setattr(place, lambda *_, **__: made())
    assert invoke(command, *arguments).exit_code == 0


def test_what_json_cannot_hold_is_told_as_text(tmp_path: Path) -> None:
    import numpy as np

    kept = as_plain({1: float("nan"), "b": (-float("inf"), np.float32(0.5), np.int64(3)), "c": tmp_path, "d": None})
    assert kept == {"1": "NaN", "b": ["-Infinity", 0.5, 3], "c": str(tmp_path), "d": None}


def test_ctrl_c_is_told_in_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, told():
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err.strip() == "Stopped."
