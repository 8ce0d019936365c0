"""The dashboard of a study in W&B: what it would be, what W&B is given, and a sweep that its agents can run."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from synthetic_records import record, write_study
from typer.testing import CliRunner

from phis_lab.cli import app
from phis_lab.commands import dashboard
from phis_lab.config.compose import composed

ROOT = Path(__file__).parents[2]
workspaces = pytest.importorskip("wandb_workspaces.workspaces")
reports = pytest.importorskip("wandb_workspaces.reports.v2")


@pytest.fixture(autouse=True)
def _without_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def study(folder: Path, **wandb: Any) -> Path:
    write_study(folder, [record("identity"), record("phis", quality=1.0)])
    config = {"logger": {"wandb": {"project": "mine", "entity": "team"} | wandb}}
    for path in folder.rglob("result.json"):
        (path.parent / "config.yaml").write_text(yaml.safe_dump(config))
        (path.parent / "metrics.csv").write_text("step,train/loss,train/xfeat/teacher_mse\n")
    return folder


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["dashboard", *arguments])


def test_without_a_key_it_says_panel_by_panel_what_it_would_make(tmp_path: Path) -> None:
    result = run(str(study(tmp_path / "runs")))
    assert result.exit_code == 0, result.output
    assert "Methods of pocket_methods, in project mine of team" in result.stdout
    for words in ("Fidelity by method", "xfeat/spatial/fidelity", "train/xfeat/teacher_mse", "cost/wall_time_s"):
        assert words in result.stdout
    assert "Nothing was made in W&B: no key of it is known; after `wandb login`" in result.stdout


def test_the_specifications_show_the_same_panels_and_are_the_same_each_time(tmp_path: Path) -> None:
    folder = study(tmp_path / "runs")
    document, again = (json.loads(run(str(folder), "--json").stdout) for _ in range(2))
    assert document == again
    assert (document["project"], document["entity"], document["addresses"]) == ("mine", "team", {})
    told = [(section["title"], len(section["panels"])) for section in document["sections"]]
    view = document["workspace"]["spec"]["section"]
    sections = view["panelBankConfig"]["sections"]
    assert [(section["name"], len(section["panels"])) for section in sections] == told
    (runs,) = view["runSets"]
    assert runs["grouping"] == [{"section": "config", "name": "method.value"}]
    assert [(entry["key"]["name"], entry["value"]) for entry in runs["filters"]["filters"]] == [
        ("group", ["pocket_methods"]),
        ("jobType", "train"),
    ]
    line = sections[1]["panels"][0]
    assert line["viewType"] == "Run History Line Plot"
    assert line["config"] == {
        "chartTitle": "train/xfeat/teacher_mse",
        "xAxis": "step",
        "metrics": ["train/xfeat/teacher_mse"],
        "yLogScale": True,
        "groupBy": "method.value",
        "groupAgg": "mean",
        "groupArea": "stddev",
        "aggregate": True,
    }
    blocks = document["report"]["spec"]["blocks"]
    grids = [len(block["metadata"]["panelBankSectionConfig"]["panels"]) for block in blocks if "metadata" in block]
    assert grids == [count for _, count in told]


def test_with_a_key_both_are_saved_and_a_refusal_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = study(tmp_path / "runs")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    saved = []
    for kind, name in ((workspaces.Workspace, "workspace"), (reports.Report, "report")):
        monkeypatch.setattr(kind, "save", lambda self, name=name: saved.append(self) or self)
        monkeypatch.setattr(kind, "url", property(lambda _, name=name: f"https://wandb/{name}"))
    result = run(str(folder))
    assert result.exit_code == 0, result.output
    assert "workspace: https://wandb/workspace" in result.stdout
    assert [(thing.entity, thing.project) for thing in saved] == [("team", "mine")] * 2
    assert saved[1].blocks[3].runsets[0].project == "mine"
    saved.clear()
    assert "Nothing was made" in run(str(folder), "--show").stdout
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "Nothing was made in W&B: WANDB_MODE is offline." in run(str(folder)).stdout
    assert not saved
    monkeypatch.delenv("WANDB_MODE")

    def refuse(_: object) -> None:
        raise RuntimeError("permission denied")

    monkeypatch.setattr(workspaces.Workspace, "save", refuse)
    result = run(str(folder), "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    said = " ".join(result.stderr.split())
    assert "W&B did not take the dashboard of team/mine: RuntimeError: permission denied" in said


@pytest.mark.parametrize("name", ['it\'s "mine"', "größe, [2]", "x" * 200, "a/b.c"])
def test_studies_of_any_name_are_the_groups_that_were_logged(tmp_path: Path, name: str) -> None:
    from phis_lab.runs.loggers.numbers import NAME_LENGTH, shortened

    write_study(tmp_path, [record("phis", name=name)])
    made = dashboard.specification(dashboard.dashboard_of(tmp_path))
    (runs,) = made["workspace"]["spec"]["section"]["runSets"]
    assert runs["filters"]["filters"][0]["value"] == [shortened(name, NAME_LENGTH)]
    assert len(made["report"]["displayName"]) <= NAME_LENGTH


def test_runs_of_several_projects_want_a_choice(tmp_path: Path) -> None:
    study(tmp_path / "a")
    study(tmp_path / "b", project="other")
    with pytest.raises(ValueError, match="logged to several: mine, other; choose one with --project"):
        dashboard.dashboard_of(tmp_path)
    assert dashboard.dashboard_of(tmp_path, project="mine").project == "mine"


def test_the_example_adds_a_panel_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import runpy

    example = runpy.run_path(str(ROOT / "experiments" / "dashboards" / "methods.py"))
    example["main"](study(tmp_path))
    assert "Speed\tbars\tImages per second" in capsys.readouterr().out


def test_what_an_agent_of_the_sweep_types_is_a_run() -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    sweep = yaml.safe_load((ROOT / "experiments" / "dashboards" / "sweep.yaml").read_text())
    assert (sweep["program"], sweep["metric"]["name"]) == ("phis-lab", "knn/accuracy")
    drawn = {name: space.get("values", [space.get("min")])[-1] for name, space in sweep["parameters"].items()}
    arguments = create_sweep_command_args({"args": {name: {"value": value} for name, value in drawn.items()}})
    command = create_sweep_command(sweep["command"])
    typed = [word for part in command for word in (arguments["args_no_hyphens"] if "args" in part else [part])]
    program = typed.index("${program}")
    assert typed[program + 1] == "train"
    config = composed(typed[program + 2 :])
    assert set(config["logger"]) == {"csv", "wandb"}
    assert (config["seed"], config["optimizer"]["lr"]) == (1, 1e-4)
