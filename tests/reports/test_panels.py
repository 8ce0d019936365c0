"""The panels of a comparison: every name is one that a run told."""

from pathlib import Path

import pytest
from synthetic_records import TEACHERS, record, write_study

from phis_lab.reports.panels import SYSTEM, Panel, sections_of, told_below
from phis_lab.runs.loggers.numbers import METHODS_TABLE, final_numbers, method_row


def panels_of(folder: Path) -> dict[str, list[Panel]]:
    return {section.title: list(section.panels) for section in sections_of(told_below(folder))}


def study(folder: Path) -> Path:
    return write_study(folder, [record("identity"), record("phis", quality=1.0)])


def test_every_panel_shows_what_a_run_logged_or_its_summary_holds(tmp_path: Path) -> None:
    runs = study(tmp_path)
    for path in runs.rglob("result.json"):
        columns = ["step", "train/loss", "train/lr", "train/xfeat/teacher_mse", "test/knn/accuracy"]
        (path.parent / "metrics.csv").write_text(",".join(columns) + "\n")
    found = panels_of(runs)
    assert list(found) == [
        "Methods",
        "Loss per teacher, in its own space",
        "Fidelity by method",
        "Probes",
        "Training",
        "Cost",
        "System",
    ]
    known = {*columns, *final_numbers(record("phis")), *SYSTEM.values(), METHODS_TABLE}
    assert {name for panels in found.values() for panel in panels for name in panel.metrics} <= known
    assert found["Loss per teacher, in its own space"] == [
        Panel("lines", "train/xfeat/teacher_mse", ("train/xfeat/teacher_mse",), log_y=True)
    ]
    bars = [panel.metrics[0].partition("/")[0] for panel in found["Fidelity by method"] if panel.kind == "bars"]
    assert set(bars) == set(TEACHERS)
    assert Panel("bars", "knn accuracy (%) ↑", ("knn/accuracy",)) in found["Probes"]
    assert Panel("lines", "test/knn/accuracy", ("test/knn/accuracy",)) in found["Probes"]


def test_without_a_csv_the_evaluations_of_the_records_tell_the_names(tmp_path: Path) -> None:
    found = panels_of(study(tmp_path))
    lines = [panel.metrics[0] for panel in found["Fidelity by method"] if panel.kind == "lines"]
    assert lines == [f"test/{teacher}/spatial/fidelity" for teacher in TEACHERS]
    assert not {"Loss per teacher, in its own space", "Training"} & set(found)


def test_an_own_probe_gets_a_panel_and_a_failed_run_gives_none(tmp_path: Path) -> None:
    from phis_lab.runs import Metric

    own = {"mine/minutes_[s]": Metric(value=1.0, unit="s", higher_is_better=False)}
    failed = record("whiten", status="failed", failure="it diverged", metrics={"never/seen": own["mine/minutes_[s]"]})
    found = panels_of(write_study(tmp_path, [record("phis", metrics=own), failed]))
    assert found["Probes"] == [Panel("bars", "mine minutes [s] (s) ↓", ("mine/minutes_[s]",))]


@pytest.mark.parametrize(("folder", "error"), [("gone", FileNotFoundError), (".", ValueError)])
def test_a_folder_without_runs_is_refused(tmp_path: Path, folder: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"no folder|no run below"):
        told_below(tmp_path / folder)


def test_a_row_of_methods_tells_units_and_directions() -> None:
    row = method_row(record("phis", seed=3))
    assert (row["method"], row["seed"]) == ("phis", 3)
    assert {"knn/accuracy (%) ↑", "effective_rank/spatial (rank)", "cost/images", "xfeat/spatial/mse ↓"} <= set(row)
