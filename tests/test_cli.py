import os
import subprocess
import sys
from textwrap import dedent

import numpy as np
import pytest
from synthetic_records import TEACHERS, record, write_study
from typer.testing import CliRunner

from phis_lab.cli import app


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100"})


def test_report_shows_the_tables_and_names_the_files(tmp_path):
    root = write_study(tmp_path, [record(m, s, g) for m, g in [("identity", 0), ("phis", 1)] for s in (0, 1)])
    result = run("report", str(root), "--format", "md", "--format", "csv")
    assert result.exit_code == 0, result.output
    for word in (
        "identity",
        "phis",
        "Difference to identity",
        *(teacher.split("_")[0] for teacher in TEACHERS),
    ):
        assert word in result.output
    assert str(root / "report.md") in result.output
    assert sorted(path.name for path in root.glob("report.*")) == ["report.csv", "report.md"]


def test_four_teachers_fit_a_hundred_columns(tmp_path):
    noise = np.random.default_rng(0).normal(size=3)
    gains = {"identity": noise * 0, "global_standardize": 1 + 0.1 * noise}
    root = write_study(tmp_path, [record(m, s, gains[m][s]) for m in gains for s in range(3)])
    lines = run("report", str(root), "--format", "csv").output.splitlines()
    table = [line for line in lines if not line.startswith(str(root))]
    assert max(len(line) for line in table) <= 100
    assert not any("…" in line for line in table)


def test_numbers_are_not_cut_off_in_a_narrow_terminal(tmp_path):
    root = write_study(tmp_path, [record(seed=seed) for seed in (0, 1)])
    result = CliRunner().invoke(app, ["report", str(root), "--format", "csv"], env={"COLUMNS": "40"})
    assert "…" not in result.output


def test_a_folder_without_runs_ends_with_exit_code_one_and_a_sentence(tmp_path):
    result = run("report", str(tmp_path / "nowhere"))
    assert result.exit_code == 1
    assert "nothing to report" in result.stderr


def test_an_unknown_baseline_ends_with_exit_code_one_and_the_methods(tmp_path):
    result = run("report", str(write_study(tmp_path, [record()])), "--baseline", "phi")
    assert result.exit_code == 1
    assert "['phis']" in result.stderr


SMALL = [
    "debug=smoke",
    "augmentation.views=2",
    "data.train_images=20",
    "evaluation.matching_images=8",
    "trainer.teacher_precision=float32",
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    store = tmp_path_factory.mktemp("features")
    return store, run("cache", *SMALL, f"teachers.store={store}")


def test_cache_fills_the_store_and_says_what_it_wrote(filled):
    store, result = filled
    assert result.exit_code == 0, result.output
    for words in ("2 view(s) of 20 train images", "To be written: ", "free: ", "The feature store is complete."):
        assert words in result.output
    rows = [line.split("│") for line in result.output.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row[1:-1]] for row in rows]
    assert [row[:2] + row[3:4] + row[5:6] for row in cells] == [
        [teacher, split, count, "bfloat16"]
        for split, count in (("train", "40"), ("test", "8"))
        for teacher in ("dfn_clip", "siglip", "dinov2_g", "sam_h")
    ]
    assert all("spatial " in row[6] for row in cells)
    assert len(list(store.glob("*-train-*/*.safetensors"))) == 4 * 2


def test_cache_does_nothing_where_all_is_there(filled):
    store, _ = filled
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")}
    result = run("cache", *SMALL, f"teachers.store={store}")
    assert result.exit_code == 0, result.output
    assert "To be written" not in result.output
    assert "The feature store is complete." in result.output
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")} == before


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([], "say teachers.store=PATH"),
        (["teachers.store=x", "augmentation.views=null"], "augmentation.views=null draws fresh ones"),
        (["teachers.store=x", "teachers.store_dtype=int4"], "teachers.store_dtype='int4'"),
        (["teachers.store=x", "augmentation.vews=2"], "Did you mean 'views'?"),
        (["teachers.store=x", "tetchers=tiny_set"], "Did you mean 'teachers'?"),
    ],
)
def test_cache_refuses_with_a_sentence(overrides, says):
    result = run("cache", *SMALL, *overrides)
    assert result.exit_code == 1
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


HELP = {
    "report": "--baseline",
    "dashboard": "--project",
    "plan": "--rate-tflops",
    "cache": "teachers.store=PATH",
    "stats": "--own-grid",
    "figures": "--format",
    "export": "--overwrite",
    "evaluate": "evaluation=...",
}


def test_help_imports_nothing_heavy():
    for command, word in HELP.items():
        result = _python(f"""
            import runpy, sys
            sys.argv = ["phis-lab", {command!r}, "--help"]
            try:
                runpy.run_module("phis_lab", run_name="__main__")
            except SystemExit as end:
                assert not end.code
            assert not {{"torch", "pandas", "matplotlib", "scipy", "wandb", "hydra"}} & set(sys.modules)
        """)
        assert word in result


def test_report_does_not_import_torch(tmp_path):
    write_study(tmp_path, [record()])
    _python(f"""
        import sys
        from phis_lab.reports import report
        report({str(tmp_path)!r})
        assert "torch" not in sys.modules
    """)


def _python(code):
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "100"}
    command = [sys.executable, "-W", "error", "-c", dedent(code)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
